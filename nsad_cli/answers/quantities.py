"""Deciders of single values: numbers, quantities with units, numerals with a base, formulas, equations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from nsad_cli.answers.decision import DIFFERENT, DOUBTFUL, EQUAL, UNDECIDABLE, Decision
from nsad_cli.answers.formula import Number
from nsad_cli.answers.spelling import SCALES, bare, normalise
from nsad_cli.answers.units import other_sizes, unit_of, without_unit
from nsad_cli.answers.values import Value, may_be_rounded, number, same, value_of
from nsad_cli.answers.wording import number_in_prose

_RELATION = re.compile(r"=|<|>|\\(?:leq?|geq?|neq?|equiv|in|to)(?![a-zA-Z])")
_BASED = re.compile(r"(-?)([0-9A-Za-z]+)_(?:\{(\d+)\}|(\d+))", re.ASCII)
_RADIAN = 57.29577951308232


def units(a: str, b: str, x: str, y: str) -> Decision | None:
    """Quantities with a unit: in two units by conversion; one unit left out is meant, unless another one fits."""
    first, second = unit_of(a), unit_of(b)
    if first is None and second is None:
        return None
    x, y = without_unit(x, first), without_unit(y, second)
    p, q = constant(x), constant(y)
    if p is None or q is None:
        return EQUAL if x == y and (first == second or not (first and second)) else None
    if first and second and first != second:
        if first.measure != second.measure:
            return UNDECIDABLE
        if _close(p * first.size, q * second.size):
            return EQUAL
        return UNDECIDABLE if _close(p, q) else DIFFERENT
    if _close(p, q):
        return EQUAL
    if first is None or second is None:
        told, other, unit = (p, q, first) if first else (q, p, second)
        assert unit is not None
        if any(_close(told * size, other) for size in other_sizes(unit)):
            return UNDECIDABLE
    return apart(a, b, x, y, p, q)


def plain_numbers(a: str, b: str, x: str, y: str) -> Decision | None:
    """Exact numbers; one in prose beside a plain one: words prove it equal, and never different."""
    p, q = number(x), number(y)
    if p is None and q is None:
        return None
    if p is None or q is None:
        said = number_in_prose(a) if p is None else number_in_prose(b)
        return EQUAL if said is not None and said in (p, q) else None
    if p == q:
        return EQUAL
    if ("%" in a) != ("%" in b):
        if (p == 100 * q) if "%" in a else (q == 100 * p):
            return EQUAL
        return DOUBTFUL if _near(p, q) or _near(p, 100 * q) or _near(100 * p, q) else DIFFERENT
    return apart(a, b, x, y, p, q)


def scaled(a: str, b: str, x: str, y: str) -> Decision | None:
    """5 million is 5,000,000; beside a plain 5 the unit may have been millions."""
    p, q = _scaled(a), _scaled(b)
    if (p is None) == (q is None):
        return (EQUAL if p[0] == q[0] else None) if p and q else None
    told, other = (p, constant(y)) if p else (q, constant(x))
    if told is None or other is None:
        return None
    if _close(float(told[0]), other):
        return EQUAL
    return UNDECIDABLE


def bases(a: str, b: str, x: str, y: str) -> Decision | None:
    """Numerals with a base: by digits in one base; one base left out is meant; equal in two bases is undecidable."""
    first, second = _BASED.fullmatch(x), _BASED.fullmatch(y)
    if first is None and second is None:
        return UNDECIDABLE if any(re.search(r"\d_\{?\d", text) for text in (x, y)) else None
    if first and second:
        p, q = _based(first), _based(second)
        if _base(first) == _base(second):
            return EQUAL if _digits(first) == _digits(second) else DIFFERENT
        return UNDECIDABLE if p == q or p is None or q is None else DIFFERENT
    match, other = (first, y) if first else (second, x)
    assert match is not None
    if re.sub(r"^(-?)0*", r"\1", other).upper() == _digits(match):
        return EQUAL
    plain, found = number(other), _based(match)
    if plain is None:
        return UNDECIDABLE if "_" in other else None
    return UNDECIDABLE if plain == found else DIFFERENT


def formulas(a: str, b: str, x: str, y: str) -> Decision | None:
    """Formulas by their values, constants and functions alike; infinity differs from every constant."""
    v, w = value(x), value(y)
    infinite = [re.fullmatch(r"([+-]?)\\infty", text) for text in (x, y)]
    if infinite[0] and infinite[1]:
        return EQUAL if (infinite[0][1] == "-") == (infinite[1][1] == "-") else DIFFERENT
    if (infinite[0] and w) or (infinite[1] and v):
        return DIFFERENT
    if v is None or w is None:
        return None
    equal = same(v, w)
    if equal is not False:
        return EQUAL if equal else DOUBTFUL
    if v.letters != w.letters:
        return _lettered(x, y, v, w)
    p, q = _float(v), _float(w)
    if v.letters or p is None or q is None:
        return DIFFERENT
    if re.search(r"circ|°|degree|\\arc", a + b) and (_close(p, q * _RADIAN) or _close(p * _RADIAN, q)):
        return UNDECIDABLE  # degrees, or radians
    return apart(a, b, x, y, p, q)


def branches(a: str, b: str, x: str, y: str) -> Decision | None:
    """A root of letters whose sign only the problem knows: the square root of (a - b)^2 may be b - a."""
    rooted = any(re.search(r"\\sqrt(?:\[\d\])?\{[^{}]*[a-z][^{}]*\}", text) and value(text) is None for text in (x, y))
    lettered = all(re.search(r"(?<![\\a-zA-Z])[a-z](?![a-zA-Z])", text) for text in (x, y))
    return DOUBTFUL if rooted and lettered else None


def enormous(a: str, b: str, x: str, y: str) -> Decision | None:
    """Towers of powers, and others too large to compute, would only keep the second checker busy."""
    huge = (value(text) is None and re.search(r"\^\{[^{}]*\^|\^\{\d+\}\^|\^\{?\d{3,}", text) for text in (x, y))
    return UNDECIDABLE if any(huge) else None


def ratios(a: str, b: str, x: str, y: str) -> Decision | None:
    """3:5 by its quotient; beside a fraction, 5:3 might be meant."""
    first, second = (re.fullmatch(r"(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)", text, re.ASCII) for text in (x, y))
    if first is None and second is None:
        return None
    if first and second:
        return (
            EQUAL if Fraction(first[1]) * Fraction(second[2]) == Fraction(first[2]) * Fraction(second[1]) else DIFFERENT
        )
    match, other = (first, constant(y)) if first else (second, constant(x))
    if match is None or other is None:
        return None
    p, q = float(match[1]), float(match[2])
    if _close(p, other * q):
        return EQUAL
    return UNDECIDABLE if _close(q, other * p) else DIFFERENT


def equations(a: str, b: str, x: str, y: str) -> Decision | None:
    """A chain of equal numbers is its last one; an equation beside a number none of its sides; linear equations."""
    first, second = _sides(x), _sides(y)
    if first and second:
        return _two_equations(first, second, x, y)
    if first is None and second is None:
        return None
    sides, one = (first, value(y)) if first else (second, value(x))
    assert sides is not None
    last, other = (x, y) if first else (y, x)
    if other == "0" and last.endswith("=0"):
        return UNDECIDABLE  # x + y = 0 is no zero
    if normalise(last.rpartition("=")[2]) == other:  # SEA = 504, (3 + 13, 17) = (16, 17)
        return EQUAL if one and sides[-1] and all(side and same(side, one) for side in sides) else DOUBTFUL
    known = [side for side in sides if side is not None]
    if one is None or one.letters or len(known) < len(sides):
        return None
    found = [same(side, one) for side in known]
    if found[-1] and not known[-1].letters and all(same(side, known[-1]) for side in known):
        return EQUAL
    return DIFFERENT if all(item is False for item in found) else None


def value(x: str) -> Value | None:
    """A normalised formula's value, None for relations."""
    return None if _RELATION.search(x) else value_of(x)


def constant(x: str) -> float | None:
    """A normalised constant's real value; None for anything else."""
    found = value(x)
    return None if found is None or found.letters else _float(found)


def apart(a: str, b: str, x: str, y: str, p: Fraction | float, q: Fraction | float) -> Decision:
    """Two constants that are not equal differ, unless one may be the other one rounded."""
    try:
        p, q = float(p), float(q)
    except OverflowError:
        return DIFFERENT
    if may_be_rounded(x, y, p, q):
        return DOUBTFUL
    about = re.search(r"approx|about|\\sim|≈|roughly|nearly", a + b)
    return DOUBTFUL if about and abs(p - q) <= 0.5 else DIFFERENT


def _lettered(x: str, y: str, v: Value, w: Value) -> Decision:
    """Formulas in other letters: one may name a unit by its letters (5m), or a variable otherwise (2n, 2k)."""
    for text, mine, other in ((x, v, w), (y, w, v)):
        plain = number(re.sub(r"\*?[msghlLJNWVAKCFk](?:/[msh])?(?:\^\d)?$", "", text)) if mine.letters else None
        if plain is not None and not other.letters and plain == other.points[0]:
            return UNDECIDABLE
    if len(v.letters) == len(w.letters) == 1 and min(len(x), len(y)) > 1:
        renamed = value_of(re.sub(rf"(?<![\\a-zA-Z]){re.escape(min(v.letters))}(?![a-zA-Z])", min(w.letters), x))
        if renamed is None or same(renamed, w) is not False:
            return UNDECIDABLE
    return DIFFERENT


def _scaled(answer: str) -> tuple[Fraction, Fraction] | None:
    """The value of `2.2 million tons`, and its number alone."""
    match = re.fullmatch(r"\$?\s*(-?[\d.,]*\d)\s*([a-z]+)(?:\s+(?:of\s+)?[a-zA-Z]{3,})*\.?", bare(answer).strip())
    if not match or match[2] not in SCALES:
        return None
    plain = number(match[1].replace(",", ""))
    return None if plain is None else (plain * SCALES[match[2]], plain)


def _base(match: re.Match[str]) -> int:
    return int((match[3] or match[4])[:9])


def _digits(match: re.Match[str]) -> str:
    return match[1] + match[2].lstrip("0").upper()


def _based(match: re.Match[str]) -> int | None:
    try:
        return int(match[1] + match[2], _base(match))
    except ValueError:
        return None


def _float(found: Value) -> float | None:
    try:
        point = complex(found.points[0])
    except OverflowError:
        return None
    return None if point.imag else point.real


def _close(p: float, q: float) -> bool:
    return abs(p - q) <= 1e-9 * max(abs(p), abs(q))


def _near(p: Fraction, q: Fraction) -> bool:
    return abs(p - q) < Fraction(1, 100) * max(abs(p), abs(q))


def _sides(x: str) -> list[Value | None] | None:
    """The sides of an equation."""
    if "=" not in x or re.search(r"[<>]|\\(?:neq?|leq?|geq?)(?![a-z])", x):
        return None
    return [value_of(side) for side in x.split("=")]


def _two_equations(first: Sequence[Value | None], second: Sequence[Value | None], x: str, y: str) -> Decision | None:
    """Proportional differences of the sides are one equation; other linear and quadratic ones differ."""
    if len(first) != 2 or len(second) != 2:
        return None
    a, b, c, d = *first, *second
    if a is None or b is None or c is None or d is None:
        return None
    if same(a, c) and same(b, d) is False:  # tan x = x, tan x = 2x
        return DIFFERENT
    p, q, r, s = (_gap(sides, point) for sides in ((a, b), (c, d)) for point in (0, 1))
    if not all(isinstance(gap, Fraction) and gap for gap in (p, q, r, s)):
        return None
    if p * s == q * r:
        return EQUAL
    letters, others = a.letters | b.letters, c.letters | d.letters
    if not _at_most_quadratic(x, y):
        return None
    return DIFFERENT if letters <= others or others <= letters else UNDECIDABLE  # letters may be named otherwise


def _gap(sides: tuple[Value, Value], point: int) -> Number:
    left, right = ((side.points * 2)[point] for side in sides)
    return left - right


def _at_most_quadratic(x: str, y: str) -> bool:
    """Whether both are linear, or both have squares and nothing higher: then they hold for other points."""
    texts = [re.sub(r"\\frac\{\d+\}\{\d+\}", "1", text) for text in (x, y)]
    if all(re.fullmatch(r"[-+=.\da-zA-Z]+", text) and not re.search("[a-zA-Z]{2}", text) for text in texts):
        return True
    return all(re.fullmatch(r"[-+=.\da-zA-Z^()]+", text) and set(re.findall(r"\^(.)", text)) == {"2"} for text in texts)
