"""Rules for quantities with units."""

from __future__ import annotations

from nsad_cli.grading.equivalence.decision import EQUAL, UNDECIDABLE, Decision
from nsad_cli.grading.equivalence.exact_values import may_be_rounded
from nsad_cli.grading.equivalence.normalise import normalise
from nsad_cli.grading.equivalence.scalars import apart, equal, exact
from nsad_cli.grading.equivalence.unit_table import DEGREE
from nsad_cli.grading.equivalence.units import Quantity, compound_of, conversions, in_unit, quantity_of


def units(a: str, b: str, x: str, y: str) -> Decision | None:
    """Compare quantities after conversion; a missing unit is taken as the same, unless another unit fits.

    Two units in different words are undecidable, unless both are in the table.
    """
    first, second = quantity_of(a), quantity_of(b)
    if first is None and second is None:
        return None
    if first is None or second is None:
        known, other = (first, y) if first else (second, x)
        assert known is not None
        return None if known.unit is None else _with_one_unit(a, b, known, other)
    if first.unit is None or second.unit is None:
        alike = set(first.words) <= set(second.words) or set(second.words) <= set(first.words)
        same_rate = ("/" in first.words or "per" in first.words) == ("/" in second.words or "per" in second.words)
        return None if alike and same_rate else UNDECIDABLE
    x, y = normalise(first.number), normalise(second.number)
    p, q = exact(x), exact(y)
    if p is None or q is None:
        if first.unit == second.unit and x != y:
            return None
        return EQUAL if first.unit == second.unit else UNDECIDABLE
    if first.unit == second.unit:
        return EQUAL if equal(p, q) else apart(a, b, x, y, p, q)
    if first.unit.measure != second.unit.measure:
        degrees = DEGREE in (first.unit, second.unit) and any(unit.zero for unit in (first.unit, second.unit))
        return EQUAL if degrees and p == q else UNDECIDABLE
    there, back = in_unit(p, first.unit, second.unit), in_unit(q, second.unit, first.unit)
    if equal(there, q):
        return EQUAL
    rounded = may_be_rounded(x, y, p, back) or may_be_rounded(x, y, there, q)
    return UNDECIDABLE if rounded or equal(p, q) else apart(a, b, "", "", there, q)


def _with_one_unit(a: str, b: str, known: Quantity, other: str) -> Decision | None:
    """Compare a quantity with an answer without a unit, which may be meant in another unit."""
    assert known.unit is not None
    x = normalise(known.number)
    p, q = exact(x), exact(other)
    if p is None or q is None:
        return EQUAL if x == other else None
    if equal(p, q):
        return EQUAL
    if any(equal(number, q) for number in conversions(p, known.unit)):
        return UNDECIDABLE
    return apart(a, b, x, other, p, q)


def compounds(a: str, b: str, x: str, y: str) -> Decision | None:
    """Compare totals of quantities such as 2 hours 30 minutes; a plain number may be in either unit."""
    first, second = compound_of(a), compound_of(b)
    if first is None and second is None:
        return None
    known, text, form = (first, b, y) if first else (second, a, x)
    assert known is not None
    other = second if first else first
    if other:
        return EQUAL if known.unit.measure == other.unit.measure and known.total == other.total else UNDECIDABLE
    single = quantity_of(text)
    unit = single.unit if single else None
    plain = exact(form if single is None else normalise(single.number))
    if plain is None or (single and unit is None):
        return UNDECIDABLE
    sizes = known.sizes if unit is None else (unit.size,) if unit.measure == known.unit.measure else ()
    return EQUAL if any(equal(plain * size, known.total) for size in sizes) else UNDECIDABLE
