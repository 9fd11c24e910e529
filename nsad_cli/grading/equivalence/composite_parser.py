"""Parser of answers of several parts: tuples, lists, sets, intervals and their unions, matrices."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from nsad_cli.grading.equivalence.exact_values import value_of
from nsad_cli.grading.equivalence.normalise import CACHE_SIZE

MAX_PARTS = 24
"""The maximum number of parts; longer lists are left to the second checker."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The parts of an answer, in order.

    `kind` is `(`, `[`, `{`, `,` (a bare list), `matrix` (parts by row), or `named` (values of `x = 1, y = 2`, by name).
    """

    kind: str
    parts: tuple[str, ...]
    columns: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """An interval; a single point if both ends are equal."""

    low: float
    high: float
    has_low: bool
    has_high: bool

    def holds(self, point: float) -> bool:
        """Whether a point lies in the interval."""
        if point in (self.low, self.high) and self.low != self.high:
            return (point == self.low and self.has_low) or (point == self.high and self.has_high)
        return self.low <= point <= self.high


@lru_cache(CACHE_SIZE)
def read_shape(text: str) -> Shape | None:
    """Parse the parts of a normalised answer; None if it has one part alone, or cannot be split safely."""
    text = re.sub(
        r"^[\[(]?\\begin\{array\}\{[clr|]+\}(.*)\\end\{array\}[\])]?$", r"\\begin{pmatrix}\1\\end{pmatrix}", text
    )
    if nested := re.fullmatch(r"\[\[([^\[\]]*(?:\],\[[^\[\]]*)*)\]\]", text):  # [[1,2],[3,4]]
        return _matrix(nested[1].replace("],[", "\\\\").replace(",", "&"))
    matrix = re.fullmatch(r"(?:[a-zA-Z]=)?\\begin\{([pbB]?matrix)\}(.*)\\end\{\1\}", text)
    if matrix and "\\begin" not in matrix[2]:
        return _matrix(matrix[2])
    text = re.sub(r"(?<=[\d})a-z])(?:,?(?:and|or)(?=[\d\\(\-]|[a-zA-Z]=))", ",", text)
    for opening, closing in (("(", ")"), ("[", "]"), ("\\{", "\\}"), ("\\langle", "\\rangle")):
        if text.startswith(opening) and text.endswith(closing):
            inner = split(text[len(opening) : -len(closing)])
            if (inner and len(inner) > 1) or (inner and opening == "\\{"):
                return Shape(opening.removeprefix("\\").replace("langle", "("), inner)
    parts = None if re.search(r"(?<!\d)\d{1,3},\d{3}(?!\d)", text) else split(text)  # one thousand, or one and zero
    if parts is None or not 1 < len(parts) <= MAX_PARTS:
        return _plus_minus(text)
    named = [re.fullmatch(r"([a-zA-Z](?:_\w)?)=(.+)", part) for part in parts]
    if all(named):
        names = [match[1] for match in named if match]
        values = tuple(match[2] for match in sorted((m for m in named if m), key=lambda m: m[1]))
        return Shape(",", values) if len(set(names)) == 1 else Shape("named", values)
    return Shape(",", tuple(re.sub(r"^[a-zA-Z]=", "", part) for part in parts))


def split(text: str) -> tuple[str, ...] | None:
    """Split a normalised text at its top-level commas; None if brackets are unbalanced."""
    parts, depth, start = [], 0, 0
    for index, sign in enumerate(text):
        if sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
            if depth < 0:
                return None
        elif sign in ",;" and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return tuple(parts) if depth == 0 and all(parts) and len(parts) <= MAX_PARTS else None


@lru_cache(CACHE_SIZE)
def read_union(text: str) -> tuple[Span, ...] | None:
    """Parse intervals, points and inequalities joined by a union sign or `or`; None for anything else."""
    spans = []
    for part in re.split(r"\\cup(?![a-zA-Z])|∪|(?<=[\d})])or(?=[a-z\d\\-])", text):
        inequality = _inequality(part)
        if inequality:
            spans.append(inequality)
            continue
        points = re.fullmatch(r"\\\{(.*)\\\}", part)
        ends = split(points[1] if points else part[1:-1])
        numbers = [_real(end) for end in ends or ()]
        if not numbers or None in numbers:
            return None
        values = [value for value in numbers if value is not None]
        if points:
            spans += [Span(value, value, True, True) for value in values]
        elif re.fullmatch(r"[(\[].*[)\]]", part) and len(values) == 2 and values[0] < values[1]:
            spans.append(Span(values[0], values[1], part[0] == "[", part[-1] == "]"))
        else:
            return None
    return tuple(spans)


def same_union(first: tuple[Span, ...], second: tuple[Span, ...]) -> bool:
    """Whether two unions contain the same points: at every end, between the ends, and beyond them."""
    ends = sorted({end for span in (*first, *second) for end in (span.low, span.high)})
    merged: list[float] = []
    for end in ends:
        if not merged or not math.isclose(end, merged[-1], rel_tol=1e-9, abs_tol=1e-12):
            merged.append(end)
    one, two = (_snapped(spans, merged) for spans in (first, second))
    finite = [end for end in merged if math.isfinite(end)]
    beyond = [finite[0] - 1, finite[-1] + 1] if finite else [0.0]
    points = [*finite, *((a + b) / 2 for a, b in pairwise(finite)), *beyond]
    return all(any(s.holds(point) for s in one) == any(s.holds(point) for s in two) for point in points)


def _snapped(spans: tuple[Span, ...], ends: list[float]) -> list[Span]:
    def nearest(end: float) -> float:
        return next(e for e in ends if e == end or math.isclose(e, end, rel_tol=1e-9, abs_tol=1e-12))

    return [Span(nearest(span.low), nearest(span.high), span.has_low, span.has_high) for span in spans]


def _real(text: str) -> float | None:
    infinite = re.fullmatch(r"([-+]?)(?:\\infty|∞|infinity|inf)", text)
    if infinite:
        return -math.inf if infinite[1] == "-" else math.inf
    value = value_of(text)
    if value is None or value.letters:
        return None
    try:
        point = complex(value.points[0])
    except OverflowError:
        return None
    return None if point.imag else point.real


def _matrix(body: str) -> Shape | None:
    body = re.sub(r"\\\\\[[\d.]*[a-z]{2}\]", r"\\\\", body)  # \\[6pt]
    rows = [row.split("&") for row in body.removesuffix("\\\\").split("\\\\")]
    columns, entries = len(rows[0]), [entry for row in rows for entry in row]
    # A comma that is no thousands separator separates entries.
    commas = any(re.search(r",(?!\d{3}(?!\d))", re.sub(r"\{[^{}]*\}", "", entry)) for entry in entries)
    if commas or any(len(row) != columns for row in rows) or len(entries) > MAX_PARTS:
        return None
    return Shape("matrix", tuple(entries), columns)


def _plus_minus(text: str) -> Shape | None:
    r"""A \pm b is the list a + b, a - b."""
    before, *after = re.split(r"\\pm(?![a-zA-Z])", text)
    if len(after) != 1 or re.search(r"[\[({=,]", before.replace("\\frac{", "")):
        return None
    return Shape(",", (re.sub(r"^\+", "", text.replace("\\pm", "+")), text.replace("\\pm", "-")))


def _inequality(text: str) -> Span | None:
    """Parse `x < 3` or `-1 <= x < 2`, with any letter, or a function of one, for x."""
    text = re.sub(r"\\leq?(?![a-zA-Z])|≤|<=", "≤", re.sub(r"\\geq?(?![a-zA-Z])|≥|>=", "≥", text))
    text = re.sub(r"\\lt(?![a-zA-Z])", "<", re.sub(r"\\gt(?![a-zA-Z])", ">", text))
    text = text.replace("{}", "")
    pieces = re.split(r"([<>≤≥])", text)
    name = r"[a-zA-Z](?:\([a-z]\))?"
    if len(pieces) == 3 and re.fullmatch(name, pieces[0]):
        bound, up = _real(pieces[2]), pieces[1] in "<≤"
        if bound is None:
            return None
        closed = pieces[1] in "≤≥"
        return Span(-math.inf, bound, False, closed) if up else Span(bound, math.inf, closed, False)
    if len(pieces) != 5 or not re.fullmatch(name, pieces[2]):
        return None
    low, high, signs = _real(pieces[0]), _real(pieces[4]), (pieces[1], pieces[3])
    if low is None or high is None or not (set(signs) <= set("<≤") or set(signs) <= set(">≥")):
        return None
    if signs[0] in ">≥":
        low, high, signs = high, low, (signs[1], signs[0])
    return Span(low, high, signs[0] in "≤≥", signs[1] in "≤≥") if low < high else None
