"""Rules for answers of several parts: tuples, lists, sets, intervals, matrices."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from nsad_cli.grading.equivalence import scalars as quantities
from nsad_cli.grading.equivalence.composite_parser import Shape, read_shape, read_union, same_union
from nsad_cli.grading.equivalence.decision import DIFFERENT, EQUAL, OPEN, UNDECIDABLE, Decision
from nsad_cli.grading.equivalence.normalise import is_prose

if TYPE_CHECKING:
    from collections.abc import Sequence


def unions(_a: str, _b: str, x: str, y: str) -> Decision | None:
    """Compare intervals and their unions as sets of points; (1,2) and [1,2] may also be pairs of numbers."""
    first, second = read_union(x), read_union(y)
    if first is None and second is None:
        return None
    if first is None or second is None:
        spans, other = (first, y) if first else (second, x)
        wide = any(span.low < span.high for span in spans or ())
        mixed = wide and not _may_be_pair(x if first else y)
        listed = read_shape(other)
        alone = quantities.constant(other) is not None
        numbers = listed is not None and listed.kind == "," and all(map(_is_number, listed.parts))
        return DIFFERENT if mixed and (alone or numbers) else None
    if _may_be_pair(x) and _may_be_pair(y):
        return UNDECIDABLE if x[0] != y[0] and x[1:-1] == y[1:-1] else None
    return EQUAL if same_union(first, second) else DIFFERENT


def several(a: str, b: str, x: str, y: str) -> Decision | None:
    """Compare tuples, lists, sets and matrices part by part; a single value never equals several.

    If a part contains words, nothing is proved different: (3, 4), which is on the line.
    """
    decision = _several(x, y)
    percents = a.count("%"), b.count("%")
    if decision is not EQUAL and percents[0] != percents[1]:
        decision = _percent_lists(x, y, percents) or decision
    if decision is DIFFERENT and any(map(_has_words, (x, y))):
        return None if is_prose(a) and is_prose(b) else UNDECIDABLE
    return decision


def _percent_lists(x: str, y: str, percents: tuple[int, int]) -> Decision | None:
    """Compare lists of which one is in percent: 20%, 30% equals 0.2, 0.3; a list of both kinds is undecidable."""
    shapes = read_shape(x), read_shape(y)
    if None in shapes:
        return None
    full = [count == len(shape.parts) for count, shape in zip(percents, shapes, strict=True) if shape]
    if percents not in ((0, percents[1]), (percents[0], 0)) or not any(full):
        return UNDECIDABLE
    text, other = (x, y) if percents[0] else (y, x)
    shape = read_shape(text)
    assert shape is not None
    values = [quantities.constant(part) for part in shape.parts]
    if None in values:
        return UNDECIDABLE
    other_shape = read_shape(other)
    assert other_shape is not None
    shared = Shape(shape.kind, tuple(rf"\frac{{{part}}}{{100}}" for part in shape.parts), shape.columns)
    return EQUAL if _shapes(shared, other_shape) is EQUAL else None


def _has_words(text: str) -> bool:
    return bool(re.search(r"[a-zA-Z]{4,}", re.sub(r"\\[a-zA-Z]+(?:\{\w?matrix\})?", " ", text)))


def _several(x: str, y: str) -> Decision | None:
    s, t = read_shape(x), read_shape(y)
    if s and t:
        return _shapes(s, t)
    if s is None and t is None:
        return None
    shape, one = (s, y) if s else (t, x)
    assert shape is not None
    if quantities.value(one) is None and not re.fullmatch(r"[+-]?\\infty", one):
        return None
    found = {_part(one, part) for part in shape.parts}
    if shape.kind in ("matrix", "(", "[") and re.search(r"(?<![\\a-zA-Z])[ijk](?![a-zA-Z])", one):
        return UNDECIDABLE  # 2i + 3j
    if shape.kind == "matrix" and len(shape.parts) > 1:
        return DIFFERENT
    if _is_mixed(shape, quantities.constant(one)):
        return UNDECIDABLE
    if shape.kind == "named":
        return DIFFERENT if found == {DIFFERENT} else UNDECIDABLE
    return DIFFERENT if DIFFERENT in found and found <= {DIFFERENT, EQUAL} else None


def _is_number(text: str) -> bool:
    return quantities.constant(text) is not None


def _is_mixed(shape: Shape, one: float | None) -> bool:
    """Whether a list may be the mixed number that equals the given value: 3 and 1/2."""
    values = [quantities.constant(part) for part in shape.parts]
    whole, part = values if len(values) == 2 else (None, None)
    return whole is not None and part is not None and 0 < part < 1 and one is not None and one == whole + part


def _may_be_pair(text: str) -> bool:
    return bool(re.fullmatch(r"\([^()\[\]]*\)|\[[^()\[\]]*\]", text)) and "infty" not in text


def _shapes(s: Shape, t: Shape) -> Decision | None:
    kinds = {s.kind, t.kind}
    if len(s.parts) != len(t.parts):
        if kinds <= {",", "{", "named"}:
            return DIFFERENT if _as_sets(s.parts, t.parts) is DIFFERENT else UNDECIDABLE
        return DIFFERENT if "matrix" in kinds or kinds == {"("} else UNDECIDABLE
    ordered, unordered = _in_order(s.parts, t.parts), _as_sets(s.parts, t.parts)
    if kinds == {"matrix"} and s.columns != t.columns:
        return DIFFERENT if ordered is DIFFERENT else UNDECIDABLE
    if kinds in ({"("}, {"["}, {"matrix"}, {"named"}):
        return ordered
    if kinds <= {",", "{"}:
        # Names, and numbers that fall, may be in an order that the problem demands.
        ranked = any(re.fullmatch(r"[A-Za-z]{2,}", part) for part in s.parts) or _falls(s) or _falls(t)
        return UNDECIDABLE if unordered is EQUAL and ordered is not EQUAL and ranked else unordered
    if ordered is EQUAL and kinds <= {"(", ",", "matrix"}:
        return EQUAL if kinds == {"(", ","} else OPEN
    if ordered is EQUAL and "named" in kinds and kinds <= {"(", ",", "named"}:
        return EQUAL
    return DIFFERENT if unordered is DIFFERENT else UNDECIDABLE


def _falls(shape: Shape) -> bool:
    values = [quantities.constant(part) for part in shape.parts]
    known = [value for value in values if value is not None]
    return len(known) == len(values) > 3 and all(p > q for p, q in pairwise(known))


def _in_order(first: Sequence[str], second: Sequence[str]) -> Decision:
    found = [_part(p, q) for p, q in zip(first, second, strict=True)]
    return DIFFERENT if DIFFERENT in found else _least_sure(found)


def _as_sets(first: Sequence[str], second: Sequence[str]) -> Decision:
    """Whether each part has an equal one among the other answer's parts."""
    table = [[_part(p, q) for q in second] for p in first]
    lines = [*table, *map(list, zip(*table, strict=True))]
    if any(set(line) == {DIFFERENT} for line in lines):
        return DIFFERENT
    if all(EQUAL in line for line in lines) and len(first) == len(second):
        return EQUAL
    return _least_sure([item for line in lines for item in line if item is not DIFFERENT and item is not EQUAL])


def _least_sure(found: Sequence[Decision]) -> Decision:
    return next((decision for decision in (UNDECIDABLE, OPEN) if decision in found), EQUAL)


def _part(x: str, y: str) -> Decision:
    x, y = sorted((x, y))
    if x == y:
        return EQUAL
    for decider in (quantities.plain_numbers, quantities.formulas, several):
        decision = decider(x, y, x, y)
        if decision is not None:
            return decision
    return OPEN
