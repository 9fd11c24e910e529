r"""A parser of formulas: numbers, + - * / ^ !, \frac, \sqrt, \pi, trigonometric functions, logarithms and letters.

Rational values are exact. A formula that a reader could understand in two ways (1/2x, x^12) is rejected.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from nsad_cli.grading.equivalence.formula_arithmetic import (
    MAX_BITS,
    POSITIVE_POINTS,
    UnclearError,
    binomial,
    bits,
    factorial,
    function_value,
    letter_value,
    raised,
    root,
)
from nsad_cli.grading.equivalence.formula_tokens import (
    PI_TOKENS,
    begins_factor,
    is_function,
    is_letter,
    may_be_negative,
)
from nsad_cli.grading.equivalence.number_arithmetic import FLOATING, Floating, Number, Precise

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_DEPTH = 30
"""Deepest nesting of sums."""
_CLOSING = {"(": ")", "{": "}", "\\{": "\\}"}


class TokenReader:
    """The tokens of a formula, read from left to right."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens, self.position = list(tokens), 0

    def _peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def _take(self, expected: str = "") -> str:
        token = self._peek()
        if not token or (expected and token != expected):
            raise UnclearError
        self.position += 1
        return token

    def _since(self, start: int) -> list[str]:
        return self.tokens[start : self.position]


class FormulaParser(TokenReader):
    """A recursive descent parser that computes a formula's value while it reads.

    Its methods raise UnclearError, ArithmeticError or ValueError for a formula without one definite value.
    """

    def __init__(self, tokens: Sequence[str], point: int, arithmetic: Floating = FLOATING) -> None:
        """Prepare to parse.

        Args:
            tokens: The formula's tokens.
            point: The index of the point at which letters are evaluated.
            arithmetic: The arithmetic of irrational numbers.
        """
        super().__init__(tokens)
        self.point, self.arithmetic, self.depth = point, arithmetic, 0
        self.size = 0.0
        """The largest number computed so far: rounding errors are relative to it."""

    def parse(self) -> Number:
        """Parse all tokens and return the formula's value."""
        value = self._sum()
        if self.position < len(self.tokens):
            raise UnclearError
        return value

    def _bounded(self, value: Number) -> Number:
        """Check that an intermediate value is within bounds, and record its size."""
        if isinstance(value, Fraction):
            if bits(value) > MAX_BITS:
                raise UnclearError
        elif not self.arithmetic.is_finite(value):
            raise UnclearError
        else:
            self.size = max(self.size, abs(value))
        return value

    def _alike(self, p: Number, q: Number) -> tuple[Number, Number]:
        """The two numbers as fractions if both are, else as complex numbers."""
        if isinstance(p, Fraction) and isinstance(q, Fraction):
            return p, q
        return self.arithmetic.of(p), self.arithmetic.of(q)

    # --- grammar --------------------------------------------------------------------------------------------------

    def _sum(self) -> Number:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise UnclearError
        value = self._product()
        while self._peek() in ("+", "-"):
            sign = self._take()
            value, other = self._alike(value, self._product())
            if not (isinstance(value, Fraction) or isinstance(other, Fraction)):
                self.size = max(self.size, abs(value), abs(other))
            value = self._bounded(value + other if sign == "+" else value - other)
        self.depth -= 1
        return value

    def _product(self) -> Number:
        if self._peek() in ("-", "+"):
            sign = self._take()
            return self._product() * (-1 if sign == "-" else 1)
        value, divided = self._power(), False
        while True:
            token = self._peek()
            if token in ("*", "\\cdot", "\\times", "·", "×"):
                self._take()
                value, divided = self._times(value, self._signed_power()), False
            elif token in ("/", "\\div"):
                if divided:
                    raise UnclearError
                self._take()
                value, divided = self._over(value, self._signed_power()), True
            elif begins_factor(token):
                before = self.tokens[self.position - 1]
                if divided or (token[0].isdigit() and (before[0].isdigit() or is_letter(before))):  # 1/2x, 2 3, CO2
                    raise UnclearError
                value = self._times(value, self._power())
            else:
                return value

    def _times(self, p: Number, q: Number) -> Number:
        p, q = self._alike(p, q)
        return self._bounded(p * q)

    def _over(self, p: Number, q: Number) -> Number:
        p, q = self._alike(p, q)
        return p / q

    def _signed_power(self) -> Number:
        if self._peek() == "-":
            self._take()
            return -self._power()
        return self._power()

    def _power(self) -> Number:
        if is_function(self._peek()):
            return self._function()
        start = self.position
        base = self._base()
        base_tokens = self._since(start)
        if self._peek() == "!":
            self._take()
            base = factorial(base)
        if self._peek() == "°":
            self._take()
            return self.arithmetic.of(base) * self.arithmetic.pi / 180
        if self._peek() == "^":
            self._take()
            base = self._bounded(raised(base, self._exponent(), base_tokens, self.arithmetic))
            if self._peek() in ("^", "!"):
                raise UnclearError
        return base

    def _exponent(self) -> Number:
        if self._peek() == "-":
            self._take()
            return -self._exponent()
        token = self._peek()
        if token[:1].isdigit() and (len(token) > 1 or self.tokens[self.position + 1 : self.position + 2] == ["&"]):
            raise UnclearError  # x^12 is x^1 2 in LaTeX
        return self._base()

    def _base(self) -> Number:
        token = self._take()
        if token[0].isdigit():
            return self._numeral(token)
        if token in PI_TOKENS:
            return self.arithmetic.pi
        if token == "i":
            return self.arithmetic.of(1j)
        if token == "e":
            return self.arithmetic.e
        if is_letter(token):
            return letter_value(token, self.point)
        if token == "\\frac":
            numerator = self._group()
            return self._bounded(self._over(numerator, self._group()))
        if token == "\\sqrt":
            return self._radical()
        if token == "\\binom":
            return binomial(self._group(), self._group())
        if token == "|":
            return self._absolute_value()
        if token not in _CLOSING:
            raise UnclearError
        value = self._sum()
        self._take(_CLOSING[token])
        return value

    def _absolute_value(self) -> Number:
        start = self.position
        value = self._sum()
        if any(is_letter(token) for token in self._since(start)):
            raise UnclearError  # equality at points proves little if a sign is dropped
        self._take("|")
        return abs(value) if isinstance(value, Fraction) else self.arithmetic.of(abs(value))

    def _numeral(self, token: str) -> Number:
        value = Fraction(token.replace(",", "").rstrip("."))
        mixed = self.tokens[self.position : self.position + 7]
        fraction = mixed[:2] == ["\\frac", "{"] and mixed[3:5] == ["}", "{"] and mixed[6:] == ["}"]
        if fraction and mixed[2].isdecimal() and mixed[5].isdecimal() and token.isdecimal():  # 1\frac{1}{2} is 3/2
            self.position += 7
            return value + Fraction(int(mixed[2]), int(mixed[5]))
        return value

    def _radical(self) -> Number:
        degree = 2
        if self._peek() == "[":
            self._take()
            token = self._take()
            if not token.isdecimal() or len(token) > 2:
                raise UnclearError
            degree = int(token)
            self._take("]")
        start = self.position
        inner = self._group()
        if may_be_negative(self._since(start)):
            raise UnclearError
        if self.point >= POSITIVE_POINTS and isinstance(inner, Fraction) and inner < 0 and degree % 2 == 0:
            raise UnclearError  # the root is not defined for these values of the letters
        return root(inner, degree, self.arithmetic)

    def _function(self) -> Number:
        r"""Parse \sin 2x, \sin^2 x, \sin(x + y): the argument ends at an operator or another function."""
        name, power = self._take(), 1
        if self._peek() == "^":
            self._take()
            token = self._take()
            if token not in ("2", "3", "4"):
                raise UnclearError
            power = int(token)
        start, closed = self.position, self._peek() in ("(", "{")
        value = self._power()
        while not closed and self._continues_argument(self._peek()):
            value = self._times(value, self._power())
        after = self._peek()
        if after in ("/", "(", "^", "!") or (closed and begins_factor(after) and not is_function(after)):
            raise UnclearError
        return self._bounded(function_value(name, value, self._since(start), self.arithmetic) ** power)

    @staticmethod
    def _continues_argument(token: str) -> bool:
        return begins_factor(token) and token != "(" and not is_function(token)

    def _group(self) -> Number:
        self._take("{")
        value = self._sum()
        self._take("}")
        return value


class MeasuringParser(FormulaParser):
    """A parser with many digits that records the binary exponents of all intermediate numbers."""

    def __init__(self, tokens: Sequence[str], point: int, arithmetic: Precise) -> None:
        super().__init__(tokens, point, arithmetic)
        self.exponents: set[int] = set()
        self._measure = arithmetic.exponent

    def _bounded(self, value: Number) -> Number:
        return self._record(super()._bounded(value))

    def _alike(self, p: Number, q: Number) -> tuple[Number, Number]:
        return tuple(map(self._record, super()._alike(p, q)))  # type: ignore[return-value]  # two in, two out

    def _record(self, value: Number) -> Number:
        exponent = self._measure(value)
        if exponent is not None:
            self.exponents.add(exponent)
        return value
