"""Rules for single values: numbers, numerals with a base, formulas, equations."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING

from nsad_cli.grading.equivalence.decision import DIFFERENT, EQUAL, OPEN, UNDECIDABLE, Decision
from nsad_cli.grading.equivalence.exact_values import Value, may_be_rounded, number, same, value_of
from nsad_cli.grading.equivalence.normalise import SCALE_WORDS, normalise, strip_text_macros
from nsad_cli.grading.equivalence.text_answers import number_in_prose
from nsad_cli.grading.equivalence.units import conversions, units_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.grading.equivalence.number_arithmetic import Number

_RELATION = re.compile(r"=|<|>|\\(?:leq?|geq?|neq?|equiv|in|to)(?![a-zA-Z])")
_ABOUT = re.compile(r"approx|\\sim|≈|~|\b(?:about|around|roughly|nearly|almost|rounded|nearest|close to|estimated)\b")
_BASED = re.compile(r"(-?)(?!\w*[a-z]{3})([0-9A-Za-z]+)_(?:\{(\d+)\}|(\d+))", re.ASCII)
_NAME = re.compile(
    r"(?!not|never)[A-Za-z]+(?:_\w|_\{\w+\})?'*(?:\([a-z](?:,[a-z])*\))?|\([a-zA-Z](?:,[a-zA-Z])+\)|\\[a-z]+(?:\{\})?[A-Za-z]{0,3}"
)
"""The left side of a definition: SEA, A', f(x,y), (b,c), \\tan Y."""
_LETTERED = {"k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9}
_RATIO = re.compile(r"(\d+(?:\.\d+)?)(?:\s*:\s*|\s+out\s+of\s+|\s+in\s+|\s+to\s+|-to-)(\d+(?:\.\d+)?)", re.ASCII)
_RADIAN = 57.29577951308232


def plain_numbers(a: str, b: str, x: str, y: str) -> Decision | None:
    """Compare exact numbers, also one in words with a plain one: 8 in total differs from 7."""
    p, q = number(x), number(y)
    if p is None and q is None:
        return None
    if p is None or q is None:
        prose, plain = (a, q) if p is None else (b, p)
        said = number_in_prose(prose)
        return None if said is None or plain is None else _beside(prose, said, plain, x, y)
    if p == q:
        return EQUAL
    if ("%" in a) != ("%" in b):
        percent, plain = (p, q) if "%" in a else (q, p)
        if percent == 100 * plain:
            return EQUAL
        rounded = _near(percent, plain) or _near(percent, 100 * plain) or abs(percent - 100 * plain) <= Fraction(1, 2)
        return OPEN if rounded else DIFFERENT
    if any(re.fullmatch(r"-?\d{1,3}\.\d{3}", text) and 1000 * r == s for text, r, s in ((x, p, q), (y, q, p))):
        return UNDECIDABLE  # a point as thousands separator
    return apart(a, b, x, y, p, q)


def _beside(prose: str, said: Fraction, plain: Fraction, x: str, y: str) -> Decision | None:
    """Compare a number in words that do not change it with a plain number; a unit may have been converted."""
    if said == plain:
        return EQUAL
    units = units_in(prose)
    if len(units) > 1 or any(equal(number, plain) for unit in units for number in conversions(said, unit)):
        return UNDECIDABLE
    return apart(prose, "", x, y, said, plain)


def scaled(a: str, b: str, x: str, y: str) -> Decision | None:
    """Compare numbers with scale words: 5 million equals 5,000,000; a plain 5 may have been in millions."""
    p, q = _scaled(a), _scaled(b)
    if (p is None) == (q is None):
        return (EQUAL if p[0] == q[0] else None) if p and q else None
    known, other, text = (p, constant(y), a) if p else (q, constant(x), b)
    if known is None or other is None:
        return None
    letter = re.search(r"\d\s*[kKMB]", text)
    if _close(float(known[0]), other):
        return UNDECIDABLE if letter and letter[0][-1] == "k" and "$" not in text else EQUAL  # k may be a number
    return None if letter and not _close(float(known[1]), other) else UNDECIDABLE


def bases(_a: str, _b: str, x: str, y: str) -> Decision | None:
    """Compare numerals with a base by digits.

    A missing base is taken as the same one; equal values in two bases are undecidable.
    """
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
    if _base(match) < 2:
        return UNDECIDABLE
    if re.sub(r"^(-?)0*", r"\1", other).upper() == _digits(match):
        return EQUAL
    plain, found = number(other), _based(match)
    if plain is None:
        return UNDECIDABLE if "_" in other else None
    return UNDECIDABLE if plain == found else DIFFERENT


def formulas(a: str, b: str, x: str, y: str) -> Decision | None:
    """Compare formulas by their values, both constants and functions; infinity differs from every constant."""
    v, w = value(x), value(y)
    infinite = [_infinite(text) for text in (x, y)]
    if infinite[0] and infinite[1]:
        return EQUAL if infinite[0] == infinite[1] else DIFFERENT
    if (infinite[0] and w) or (infinite[1] and v):
        return DIFFERENT
    if v is None or w is None:
        return None
    equal = same(v, w)
    if equal is not False:
        return EQUAL if equal else OPEN
    if v.letters != w.letters:
        return _lettered(x, y, v, w)
    p, q = _float(v), _float(w)
    if v.letters or p is None or q is None:
        return DIFFERENT
    if re.search(r"circ|°|degree|\\arc", a + b) and (_close(p, q * _RADIAN) or _close(p * _RADIAN, q)):
        return UNDECIDABLE  # degrees, or radians
    return apart(a, b, x, y, p, q)


def _infinite(text: str) -> str:
    """The sign of infinity; empty for anything else."""
    match = re.fullmatch(r"(\+|-|minus |negative )?(?:\\infty|infinity)", text)
    return "" if not match else "-" if match[1] and match[1] != "+" else "+"


def branches(_a: str, _b: str, x: str, y: str) -> Decision | None:
    """Leave a root of letters open if only the problem determines its sign: the root of (a - b)^2 may be b - a."""
    rooted = any(re.search(r"\\sqrt(?:\[\d\])?\{[^{}]*[a-z][^{}]*\}", text) and value(text) is None for text in (x, y))
    lettered = all(re.search(r"(?<![\\a-zA-Z])[a-z](?![a-zA-Z])", text) for text in (x, y))
    return OPEN if rooted and lettered else None


def enormous(_a: str, _b: str, x: str, y: str) -> Decision | None:
    """Undecidable: powers of powers and other numbers too large to compute, which would block the second checker."""
    huge = (value(text) is None and re.search(r"\^\{[^{}]*\^|\^\{\d+\}\^|\^\{?\d{3,}", text) for text in (x, y))
    return UNDECIDABLE if any(huge) else None


def ratios(a: str, b: str, x: str, y: str) -> Decision | None:
    """Compare ratios by proportion (3:5, 2:4:6, 3 out of 5); a fraction may mean the inverse of 5:3."""
    first, second = _proportions(a, x), _proportions(b, y)
    if first is None and second is None:
        return None
    if first and second:
        if not all((*first, *second)):  # 5:00 is no ratio
            return EQUAL if first == second else UNDECIDABLE
        return EQUAL if _shares(first) == _shares(second) else DIFFERENT
    known, other = (first, constant(y)) if first else (second, constant(x))
    if known is None or other is None or len(known) > 2:
        return None
    p, q = map(float, known)
    if _close(p, other * q):
        return EQUAL
    # Turned round, a part of the whole, one of the two alone, hours and minutes.
    alone = () if ":" in a + b else (p, q)
    meant = [*alone, 60 * p + q, p + q / 60, *((q / p, p / (p + q), q / (p + q)) if p else ())]
    return UNDECIDABLE if any(_close(other, number) for number in meant) else DIFFERENT


def _proportions(answer: str, x: str) -> list[Fraction] | None:
    """The numbers of `3:5`, `2:4:6`, `3 to 5` or `3 out of 5`."""
    if re.fullmatch(r"\d+(?:\.\d+)?(?::\d+(?:\.\d+)?)+", x, re.ASCII):
        return [Fraction(part) for part in x.split(":")]
    match = _RATIO.fullmatch(strip_text_macros(answer).replace("$", "").strip(" ."))
    return [Fraction(match[1]), Fraction(match[2])] if match else None


def _shares(parts: list[Fraction]) -> list[Fraction]:
    return [part / sum(parts) for part in parts]


def solved(a: str, b: str, x: str, y: str) -> Decision | None:
    """Compare equations of which one is solved for a letter (x = y + 1, y = x - 1) without removing the left side."""
    first, second = _solved(a), _solved(b)
    for equation, other in ((first, y), (second, x)):
        if equation and (first is None or second is None) and "=" in other:
            left, right = _sides(equation[1]), _sides(other)
            proved = left and right and _two_equations(left, right, equation[1], other)
            return EQUAL if proved is EQUAL else None
    if first is None or second is None or first[0] == second[0]:
        return None
    sides = [_sides(equation) for _, equation in (first, second)]
    same_line = sides[0] and sides[1] and _two_equations(sides[0], sides[1], first[1], second[1])
    return EQUAL if same_line is EQUAL else UNDECIDABLE


def _solved(answer: str) -> tuple[str, str] | None:
    """The letter that an equation is solved for and the normalised equation, if the other side has letters too."""
    sides = answer.strip(" $.").split("=")
    if len(sides) != 2:
        return None
    for name, side in (sides, reversed(sides)):
        found = value(normalise(side)) if re.fullmatch(r"\s*[a-zA-Z]\s*", name) else None
        if found and found.letters:
            return name.strip(), f"{name.strip()}={normalise(side)}"
    return None


def equations(a: str, b: str, x: str, y: str) -> Decision | None:
    """Compare a chain of equalities by its last value, an equation with a number, and linear equations."""
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
    if len(sides) == 2 and _NAME.fullmatch(last.partition("=")[0]):
        named = normalise(last.partition("=")[2])
        p, q = constant(named), constant(other)
        if named == other or (p is not None and q is not None):
            return EQUAL if p is None or q is None or _close(p, q) else apart(a, b, named, other, p, q)
    if normalise(last.rpartition("=")[2]) == other:  # (3 + 13, 17) = (16, 17)
        return EQUAL if one and all(side and same(side, one) for side in _chain(sides)) else OPEN
    known = [side for side in sides if side is not None]
    if one is None or one.letters or len(known) < len(sides):
        return None
    found = [same(side, one) for side in known]
    if found[-1] and not known[-1].letters and all(side and same(side, known[-1]) for side in _chain(known)):
        return EQUAL
    return DIFFERENT if all(item is False for item in found) else None


def _chain(sides: Sequence[Value | None]) -> Sequence[Value | None]:
    """The sides that have to be equal: for x + y = 10 + 12 = 22 those after the first."""
    return sides[1:] if len(sides) > 2 and sides[0] and sides[0].letters else sides


def value(x: str) -> Value | None:
    """Evaluate a normalised formula; None for relations."""
    return None if _RELATION.search(x) else value_of(x)


def constant(x: str) -> float | None:
    """Evaluate a normalised real constant; None for anything else."""
    found = value(x)
    return None if found is None or found.letters else _float(found)


def exact(x: str) -> Fraction | float | None:
    """Evaluate a normalised real constant, as a fraction if it is rational."""
    found = value(x)
    if found is None or found.letters:
        return None
    return found.points[0] if isinstance(found.points[0], Fraction) else _float(found)


def equal(p: Fraction | float, q: Fraction | float) -> bool:
    """Whether two numbers are equal: fractions exactly, others in nine digits."""
    return p == q if isinstance(p, Fraction) and isinstance(q, Fraction) else _close(float(p), float(q))


def apart(a: str, b: str, x: str, y: str, p: Fraction | float, q: Fraction | float) -> Decision:
    """Decide about two unequal constants: they differ, unless one may be the other one rounded."""
    try:
        p, q = float(p), float(q)
    except OverflowError:
        return DIFFERENT
    if may_be_rounded(x, y, p, q):
        return OPEN
    rough = _ABOUT.search(a + " " + b) and abs(p - q) <= max(0.5, 0.05 * max(abs(p), abs(q)))
    return UNDECIDABLE if rough else DIFFERENT


def _lettered(x: str, y: str, v: Value, w: Value) -> Decision:
    """Compare formulas in different letters: one may be a unit (5m) or a renamed variable (2n, 2k)."""
    for text, mine, other in ((x, v, w), (y, w, v)):
        plain = number(re.sub(r"\*?[msghlLJNWVAKCFk](?:/[msh])?(?:\^\d)?$", "", text)) if mine.letters else None
        if plain is not None and not other.letters and ("/" in text or plain == other.points[0]):
            return UNDECIDABLE
    if len(v.letters) == len(w.letters) == 1 and min(len(x), len(y)) > 1:
        renamed = value_of(re.sub(rf"(?<![\\a-zA-Z]){re.escape(min(v.letters))}(?![a-zA-Z])", min(w.letters), x))
        if renamed is None or same(renamed, w) is not False:
            return UNDECIDABLE
    return DIFFERENT


def _scaled(answer: str) -> tuple[Fraction, Fraction] | None:
    """The value of `2.2 million tons`, and the number before the scale word."""
    match = re.fullmatch(
        r"\$?\s*(-?[\d.,]*\d)\s*([a-z]+|[KMB])(?:\s+(?:of\s+)?[a-zA-Z]{3,})*\.?", strip_text_macros(answer).strip()
    )
    scale = match and {**SCALE_WORDS, **_LETTERED}.get(match[2])
    plain = number(match[1].replace(",", "")) if match else None
    return None if plain is None or not scale else (plain * scale, plain)


def _base(match: re.Match[str]) -> int:
    return int((match[3] or match[4])[:9])


def _digits(match: re.Match[str]) -> str:
    return match[1] + match[2].lstrip("0").upper()


def _based(match: re.Match[str]) -> int | None:
    try:
        return int(match[1] + match[2], _base(match)) if _base(match) > 1 else None
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
    """Equations with proportional differences of sides are equal; other linear and quadratic ones differ."""
    if len(first) != 2 or len(second) != 2:
        return None
    a, b, c, d = *first, *second
    if a is None or b is None or c is None or d is None or not (a.letters | b.letters and c.letters | d.letters):
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
    """Whether both are linear, or both have squares and nothing higher: if they differ, so do their solutions."""
    texts = [re.sub(r"\\frac\{\d+\}\{\d+\}", "1", text) for text in (x, y)]
    if all(re.fullmatch(r"[-+=.\da-zA-Z]+", text) and not re.search("[a-zA-Z]{2}", text) for text in texts):
        return True
    return all(re.fullmatch(r"[-+=.\da-zA-Z^()]+", text) and set(re.findall(r"\^(.)", text)) == {"2"} for text in texts)
