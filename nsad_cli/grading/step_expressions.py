r"""Arithmetic expressions in running text: numbers, operators, \frac, \sqrt, percent, money and units.

The tokens of a line are read by a recursive descent parser that removes what does not change a value (units, currency
signs, spacing commands) and leaves a formula for equivalence.formula_parser, which computes exactly and within bounds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nsad_cli.grading.equivalence.formula_arithmetic import UnclearError
from nsad_cli.grading.equivalence.formula_parser import FormulaParser
from nsad_cli.grading.equivalence.normalise import TEXT_MACRO
from nsad_cli.grading.equivalence.unit_table import UNITS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nsad_cli.grading.equivalence.number_arithmetic import Number

MAX_UNIT_WORDS = 3
"""Words after a number that may name what is counted: 3 large red pens."""
MAX_NESTING = 20
"""Deepest nesting of brackets."""
_KINDS = {
    "space": r"[^\S\n]+|\\[,;:! ]|~|&|\\\\|\\(?:quad|qquad|left|right|displaystyle|bigl?|bigr?|Big[lr]?)(?![a-zA-Z])",
    "line": r"\n",
    "macro": TEXT_MACRO + r"\s*\{[^{}\n]*\}",
    "about": r"≈|≃|≅|\\(?:approx|simeq|doteq)(?![a-zA-Z])|~=",
    "other": r"[=-]+>|(?<![\d)}])!=|[<>]=|=<|:=|[<>≠≤≥≡→⇒∝]"
    r"|\\(?:neq?|leq?|geq?|equiv|to|implies|[Rr]ightarrow|sim)(?![a-zA-Z])",
    "equals": r"=",
    "number": r"(?:\d{1,3}(?:(?:,|\{,\}|\\,|,\\!)\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+",
    "operator": r"\*\*|[-+*/^×·÷−–⋅∙]|\\(?:times|cdot|div)(?![a-zA-Z])",
    "frac": r"\\[dtc]?frac(?![a-zA-Z])",
    "root": r"\\sqrt(?![a-zA-Z])|√|sqrt(?=\s*\()",
    "pi": r"\\pi(?![a-zA-Z])|π",
    "money": r"\\?[$€£¥₹]",
    "percent": r"\\?%",
    "degree": r"°|\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-zA-Z]))",
    "fence": r"\\[()\[\]]",
    "power": r"[²³]",
    "ellipsis": r"\.\.\.|…|\\[lc]?dots(?![a-zA-Z])",
    "word": r"[^\W\d_]{2,}(?:['’-][^\W\d_]+)*",
    "letter": r"[^\W\d_]",
    "command": r"\\[a-zA-Z]+",
    "sign": r".",
}
_TOKEN = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _KINDS.items()))
_SAME = {"**": "^", "×": "*", "·": "*", "⋅": "*", "∙": "*", "÷": "/", "−": "-", "–": "-"}
_SAME |= {"\\times": "*", "\\cdot": "*", "\\div": "/"}
_CLOSING = {"(": ")", "[": "]", "{": "}"}
OPERATOR_WORDS = frozenset(
    (
        *(
            "plus",
            "minus",
            "times",
            "of",
            "over",
            "divided",
            "multiplied",
            "mod",
            "modulo",
            "and",
            "or",
            "more",
            "less",
        ),
        *(
            "fewer",
            "remainder",
            "choose",
            "by",
            "from",
            "than",
            "squared",
            "cubed",
            "twice",
            "double",
            "triple",
            "half",
        ),
        *(
            "per",
            "if",
            "because",
            "since",
            "so",
            "is",
            "are",
            "was",
            "which",
            "where",
            "when",
            "for",
            "in",
            "to",
            "then",
        ),
        *("with", "but", "not", "as", "that", "base", "percent"),
    )
)
"""Words that are never the name of what is counted."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its place in the text."""

    kind: str
    text: str
    start: int
    end: int
    spaced: bool = False
    """Whether white space stands before it."""


@dataclass
class Expression:
    """An arithmetic expression of a text.

    Attributes:
        first: The index of its first token.
        last: The index after its last token.
        operators: The number of operators in it.
        numbers: The number of numbers in it.
        percents: How many of them have a percent sign.
        decimals: The digits after the point of a plain number; None for anything else.
        rounded: Whether a number in it has a decimal point.
        units: The words after its numbers.
    """

    first: int
    last: int = 0
    formula: list[str] = field(default_factory=list)
    operators: int = 0
    numbers: int = 0
    percents: int = 0
    rounded: bool = False
    units: list[str] = field(default_factory=list)

    @property
    def decimals(self) -> int | None:
        """See Expression."""
        formula = self.formula[1:2] if self.percents and len(self.formula) == 5 else self.formula
        if self.operators or len(formula) != 1 or not formula[0][0].isdigit():
            return None
        return len(formula[0].partition(".")[2]) + 2 * self.percents

    def value(self) -> Number | None:
        """Compute the value, exact if it is rational; None if it has none or is out of bounds."""
        try:
            return FormulaParser(self.formula, 0).parse()
        except (UnclearError, ArithmeticError, ValueError):
            return None


def tokens_of(text: str) -> list[Token]:
    """Split a text into tokens without spaces; x between numbers is a product."""
    found = [
        Token(
            match.lastgroup or "",
            match[0],
            match.start(),
            match.end(),
            text[match.start() - 1 : match.start()].isspace(),
        )
        for match in _TOKEN.finditer(text)
    ]
    found = [token for token in found if token.kind != "space"]
    for place in range(1, len(found) - 1):
        before, token, after = found[place - 1 : place + 2]
        if (
            token.text in ("x", "X")
            and before.kind in ("number", "percent", "word")
            and after.kind in ("number", "money")
        ):
            found[place] = Token("operator", "*", token.start, token.end)
    return found


class _NoExpressionError(Exception):
    """No expression begins here."""


def expression_at(tokens: Sequence[Token], first: int, last: int) -> Expression | None:
    """Read the longest expression that begins at a token and ends before another; None if there is none."""
    reader = _Reader(tokens, first, last)
    try:
        formula = reader.sum()
    except _NoExpressionError:
        return None
    found = reader.found
    found.formula, found.last = formula, reader.place
    return found


class _Reader:
    """A recursive descent parser; each method returns tokens for FormulaParser and moves on."""

    def __init__(self, tokens: Sequence[Token], first: int, last: int) -> None:
        self.tokens, self.place, self.stop, self.depth = tokens, first, last, 0
        self.found = Expression(first)

    def _kind(self, ahead: int = 0) -> str:
        place = self.place + ahead
        return self.tokens[place].kind if place < self.stop else ""

    def _text(self, ahead: int = 0) -> str:
        place = self.place + ahead
        return self.tokens[place].text if place < self.stop else ""

    def _operator(self) -> str:
        return _SAME.get(self._text(), self._text()) if self._kind() == "operator" else ""

    def sum(self) -> list[str]:
        """Products between + and -; a sign that no product follows is left."""
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise _NoExpressionError
        formula = self._product()
        while (sign := self._operator()) in ("+", "-"):
            more = self._after_operator(self._product)
            if more is None:
                break
            formula = [*formula, sign, *more]
        self.depth -= 1
        return formula

    def _after_operator(self, read: Callable[[], list[str]]) -> list[str] | None:
        """What follows the operator at the current place; None, without moving, if nothing can."""
        before = self.place
        self.place += 1
        try:
            more = read()
        except _NoExpressionError:
            self.place = before
            return None
        self.found.operators += 1
        return more

    def _product(self) -> list[str]:
        sign: list[str] = []
        if self._operator() in ("-", "+"):
            sign = ["-"] if self._operator() == "-" else []
            self.place += 1
        formula = self._power()
        while True:
            operator = self._operator()
            if operator in ("*", "/"):
                more = self._after_operator(self._signed_power)
                if more is None:
                    return [*sign, *formula]
            elif self._multiplies():
                operator = "*"
                if self._kind() == "word":
                    more = self._after_operator(self._power)
                    if more is None:
                        return [*sign, *formula]
                else:
                    more = self._power()
                    self.found.operators += 1
            else:
                return [*sign, *formula]
            formula = ["(", *formula, ")", operator, *more]  # from left to right, as it is written

    def _multiplies(self) -> bool:
        """Whether a product without a sign goes on: 2(3), 3π, (1)(2), 20% of 50, 1/2 of 50."""
        before, kind = self.tokens[self.place - 1], self._kind()
        if kind == "word":
            return self._text() == "of" and (before.kind == "percent" or self._is_fraction_end())
        if kind == "pi":
            return True
        adjacent = self.place < self.stop and before.end == self.tokens[self.place].start
        return adjacent and self._text() == "(" and (before.kind == "number" or before.text in ")}")

    def _is_fraction_end(self) -> bool:
        written = [token.text for token in self.tokens[max(self.found.first, self.place - 3) : self.place]]
        return written[-1:] == ["}"] or (len(written) == 3 and written[1] == "/")

    def _signed_power(self) -> list[str]:
        if self._operator() == "-":
            self.place += 1
            return ["(", "-", *self._power(), ")"]
        return self._power()

    def _power(self) -> list[str]:
        formula = self._base()
        if self._kind() == "power":
            exponent = ["2"] if self._text() == "²" else ["3"]
            self.place += 1
            self.found.operators += 1
            formula = ["(", *formula, ")", "^", *exponent]
        elif self._operator() == "^":
            exponent_of = self._after_operator(self._exponent)
            if exponent_of is None:
                raise _NoExpressionError
            formula = ["(", *formula, ")", "^", "{", *exponent_of, "}"]
        after = self.tokens[self.place + 1].kind if self.place + 1 < len(self.tokens) else ""
        if self._text() == "!" and after in ("operator", "equals", "about"):  # not the end of a sentence
            self.place += 1
            self.found.operators += 1
            formula = ["(", *formula, ")", "!"]
        if self._kind() == "percent":
            self.place += 1
            self.found.percents += 1
            formula = ["(", *formula, "/", "100", ")"]
        self._units()
        return formula

    def _exponent(self) -> list[str]:
        sign = []
        if self._operator() == "-":
            sign = ["-"]
            self.place += 1
        return [*sign, *self._base()]

    def _base(self) -> list[str]:
        while self._kind() in ("money", "fence"):
            self.place += 1
        kind, text = self._kind(), self._text()
        if kind == "number":
            return self._number()
        if kind == "pi":
            self.place += 1
            return ["\\pi"]
        if kind == "frac":
            self.place += 1
            self.found.operators += 1
            if self._kind() == "number" and len(self._text()) == 2:  # \\frac12
                digits = self._text()
                self.place += 1
                return ["\\frac", "{", digits[0], "}", "{", digits[1], "}"]
            return ["\\frac", "{", *self._group(), "}", "{", *self._group(), "}"]
        if kind == "root":
            self.place += 1
            self.found.operators += 1
            return ["\\sqrt", "{", *self._group(), "}"]
        if text in _CLOSING:
            return ["(", *self._bracket(), ")"]
        raise _NoExpressionError

    def _number(self) -> list[str]:
        number = re.sub(r"[{}\\,!]", "", self._text())
        self.found.numbers += 1
        number = "0" + number if number.startswith(".") else number
        self.found.rounded |= "." in number
        self.place += 1
        mixed = [self._kind(ahead) for ahead in range(3)] == ["number", "operator", "number"] and self._text(1) == "/"
        if mixed and number.isdigit() and self._text().isdigit() and self._text(2).isdigit():  # 1 1/2
            formula = ["(", number, "+", self._text(), "/", self._text(2), ")"]
            self.place += 3
            return formula
        return [number]

    def _group(self) -> list[str]:
        """An argument of a command: in braces or brackets, or one digit."""
        if self._text() in _CLOSING:
            return self._bracket()
        digits = self._text()
        if self._kind() != "number" or len(digits) > 1:
            raise _NoExpressionError
        self.place += 1
        return [digits]

    def _bracket(self) -> list[str]:
        closing = _CLOSING[self._text()]
        self.place += 1
        formula = self.sum()
        if self._text() != closing:
            raise _NoExpressionError
        self.place += 1
        return formula

    def _units(self) -> None:
        r"""Pass over the name of what is counted: 3 red pens, 5 cm^2, 4 km/h, 90°, 2 \text{ feet}, 3 (dollars)."""
        for _ in range(MAX_UNIT_WORDS):
            start = self.place
            if self._operator() == "/" and self._kind(1) in ("word", "macro"):
                self.place += 1
            kind, text = self._kind(), self._text()
            if kind in ("degree", "fence") or (kind == "money" and self._kind(1) != "number"):
                self.place += 1
            elif kind == "macro" or (kind == "word" and self._is_unit(text)):
                self.found.units += re.findall(r"[^\W\d_]+", text.partition("{")[2] if kind == "macro" else text)
                self.place += 1
                if self._operator() == "^" and self._kind(1) == "number":
                    self.place += 2
                elif self._kind() == "power":
                    self.place += 1
            elif text == "(" and self._text(1).islower() and self._kind(1) == "word" and self._text(2) == ")":
                self.found.units.append(self._text(1))
                self.place += 3
            else:
                self.place = start
                return

    def _is_unit(self, word: str) -> bool:
        """Whether a word may name what is counted; beside a number without a space (2ab), only a known unit."""
        if word.lower() in OPERATOR_WORDS or (word.isupper() and word not in UNITS):
            return False
        return word in UNITS or self.tokens[self.place - 1].end < self.tokens[self.place].start
