"""Confirmation of an equality that math-verify claims: it compares a few digits only, so that tiny terms are lost.

Constants are compared at 50 digits beyond the span of the numbers that occur in them, formulas with letters at fixed
rational points. What cannot be confirmed is not proved.
"""

from __future__ import annotations

import random
from typing import Any

import mpmath  # type: ignore[import-untyped]  # neither has annotations
import sympy  # type: ignore[import-untyped]

DIGITS = 50
MAX_DIGITS = 20_000
"""More digits are not computed: the numbers differ too much in size."""
_SPARE = 8
"""Digits that rounding may spoil."""
_POINTS = 3
_LOG10_OF_2 = 0.30103


def confirmed(x: Any, y: Any) -> bool:
    """Whether two parsed answers are equal, part by part.

    Args:
        x: What math-verify parsed: an expression, a relation, a set, an interval or a matrix.
        y: The same of the other answer.
    """
    x, y = (part.args[0] if isinstance(part, sympy.FiniteSet) and len(part.args) == 1 else part for part in (x, y))
    if isinstance(x, sympy.Expr) and isinstance(y, sympy.Expr):
        return _equal(x, y)
    if isinstance(x, sympy.Equality) and isinstance(y, sympy.Equality):
        return _proportional(x.lhs - x.rhs, y.lhs - y.rhs)
    if isinstance(x, sympy.core.relational.Relational) and isinstance(y, sympy.core.relational.Relational):
        return any(type(x) is type(z) and confirmed(x.lhs, z.lhs) and confirmed(x.rhs, z.rhs) for z in (y, y.reversed))
    if isinstance(x, sympy.Interval) and isinstance(y, sympy.Interval):
        ends = (x.left_open, x.right_open) == (y.left_open, y.right_open)
        return ends and confirmed(x.start, y.start) and confirmed(x.end, y.end)
    if isinstance(x, sympy.MatrixBase) and isinstance(y, sympy.MatrixBase):
        return x.shape == y.shape and all(confirmed(p, q) for p, q in zip(x, y, strict=True))
    if type(x) is type(y) and isinstance(x, sympy.FiniteSet | sympy.Union):
        return _matched(list(x.args), list(y.args))
    if type(x) is type(y) and isinstance(x, sympy.Tuple | list | tuple):
        return len(x) == len(y) and all(confirmed(p, q) for p, q in zip(x, y, strict=True))
    return bool(x == y)


def _matched(first: list[Any], second: list[Any]) -> bool:
    """Whether every part has its own equal part in the other answer."""
    if len(first) != len(second):
        return False
    rest = list(second)
    for part in first:
        found = next((other for other in rest if confirmed(part, other)), None)
        if found is None:
            return False
        rest.remove(found)
    return True


def _equal(x: sympy.Expr, y: sympy.Expr) -> bool:
    if x.is_infinite or y.is_infinite or x == y:
        return bool(x == y)
    return all(_same_constants(p, q) for p, q in _at_points(x, y))


def _proportional(x: sympy.Expr, y: sympy.Expr) -> bool:
    """Whether two functions are proportional, so that they have the same zeros."""
    (p, q), *others = _at_points(x, y)
    return all(_same_constants(p * s, q * r) for r, s in others) if others else _same_constants(x, y)


def _at_points(x: sympy.Expr, y: sympy.Expr) -> list[tuple[sympy.Expr, sympy.Expr]]:
    letters = sorted(x.free_symbols | y.free_symbols, key=str)
    if not letters:
        return [(x, y)]
    found = []
    for point in range(_POINTS):
        random_ = random.Random(f"{point}")
        numbers = {letter: sympy.Rational(random_.randint(10**4, 2 * 10**4), 10**4 + 7) for letter in letters}
        found.append((x.subs(numbers), y.subs(numbers)))
    return found


def _same_constants(x: sympy.Expr, y: sympy.Expr) -> bool:
    if x.is_Rational and y.is_Rational:
        return bool(x == y)
    sizes = [size for part in (x, y) for size in _sizes(part)]
    if not sizes:
        return bool(x == y)
    digits = DIGITS + int(_LOG10_OF_2 * (max(sizes) - min(sizes)))
    if digits > MAX_DIGITS:
        return False
    p, q = (_number(part, digits) for part in (x, y))
    with mpmath.workdps(digits + _SPARE):
        return bool(abs(p - q) <= mpmath.mpf(2) ** max(sizes) * mpmath.mpf(10) ** (_SPARE - digits))


def _sizes(expression: sympy.Expr) -> list[int]:
    """The binary exponents of the numbers in a constant."""
    found = []
    for part in sympy.preorder_traversal(expression):
        if isinstance(part, sympy.Expr) and part.is_number and part.is_zero is not True and not part.is_infinite:
            number = _number(part, 15)
            if number and mpmath.isfinite(number):
                found.append(int(mpmath.mag(number)))
    return found


def _number(expression: sympy.Expr, digits: int) -> Any:
    """Evaluate a constant; complex numbers are allowed.

    Raises:
        ValueError: It is not a number.
    """
    value = sympy.N(expression, digits)
    if not value.is_number:
        raise ValueError("not a number")
    real, imaginary = value.as_real_imag()
    with mpmath.workdps(digits + _SPARE):
        return mpmath.mpc(*(mpmath.mpmathify(sympy.Float(part, digits)) for part in (real, imaginary)))
