"""Arithmetic on irrational numbers: floating point, or any number of digits for the confirmation of an equality."""

from __future__ import annotations

import cmath
import math
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nsad_cli.grading.equivalence.formula_tokens import INVERSE_TRIGONOMETRIC, TRIGONOMETRIC

if TYPE_CHECKING:
    from collections.abc import Callable

Number = Fraction | complex
"""A number: exact, or complex (mpmath's complex type in Precise)."""
_MAX_EXPONENT_BITS = 64
"""Longer exponents are not computed: the result would take too long."""


def _functions(module: Any) -> dict[str, Callable[[Any], complex]]:
    def cis(angle: Any) -> Any:
        return module.exp(1j * angle)

    def inverse(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda angle: 1 / function(angle)

    sin, cos, tan = module.sin, module.cos, module.tan
    direct = (sin, cos, tan, inverse(tan), inverse(cos), inverse(sin), cis)
    return dict(zip((*TRIGONOMETRIC, *INVERSE_TRIGONOMETRIC), (*direct, *_arcs(module)), strict=True))


def _arcs(module: Any) -> tuple[Callable[[Any], Any], ...]:
    return (module.asin, module.acos, module.atan)


class Floating:
    """Complex floating-point numbers."""

    pi, e = complex(math.pi), complex(math.e)
    functions = _functions(cmath)

    def of(self, value: Any) -> complex:
        """Convert a number to a complex one."""
        return complex(value)

    def is_finite(self, value: Any) -> bool:
        """Whether a number is neither infinite nor NaN."""
        return cmath.isfinite(value)

    def root(self, value: Any, degree: int) -> complex:
        """The real root of a number above zero."""
        return complex(value.real ** (1 / degree))

    def power(self, base: Any, exponent: Any) -> complex:
        """A power of a positive base."""
        return complex(base) ** complex(exponent)

    def log(self, value: Any, base: int | None) -> complex:
        """The logarithm of a number above zero; the base None is e."""
        return complex(math.log(value.real) / math.log(math.e if base is None else base))


class Precise(Floating):
    """Complex numbers with any number of digits.

    Args:
        digits: The number of digits.
    """

    def __init__(self, digits: int) -> None:
        from mpmath.ctx_mp import MPContext  # type: ignore[import-untyped]  # mpmath has no annotations

        self._mp: Any = MPContext()
        self._mp.dps = digits
        self.pi, self.e = (self._mp.mpc(value) for value in (+self._mp.pi, +self._mp.e))
        self.functions = _functions(self._mp)

    def of(self, value: Any) -> Any:
        """Convert a number to a complex one."""
        if isinstance(value, Fraction):
            return self._mp.mpc(self._mp.mpf(value.numerator) / value.denominator)
        return self._mp.mpc(value)

    def is_finite(self, value: Any) -> bool:
        """Whether a number is neither infinite nor NaN."""
        return bool(self._mp.isfinite(value))

    def root(self, value: Any, degree: int) -> Any:
        """The real root of a number above zero."""
        return self._mp.mpc(self._mp.root(self.of(value).real, degree))

    def power(self, base: Any, exponent: Any) -> Any:
        """A power of a positive base."""
        power = self.of(exponent)
        if power and self._mp.mag(power) > _MAX_EXPONENT_BITS:
            raise OverflowError
        return self._mp.power(self.of(base), power)

    def log(self, value: Any, base: int | None) -> Any:
        """The logarithm of a number above zero; the base None is e."""
        natural = self._mp.log(self.of(value).real)
        return self._mp.mpc(natural if base is None else natural / self._mp.log(base))

    def exponent(self, value: Any) -> int | None:
        """The binary exponent of a number; None for zero."""
        number = self.of(value)
        return int(self._mp.mag(number)) if number else None


FLOATING = Floating()


@lru_cache(64)
def precise(digits: int) -> Precise:
    """The arithmetic with a number of digits; making one takes longer than using it."""
    return Precise(digits)
