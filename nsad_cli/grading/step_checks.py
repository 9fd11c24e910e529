r"""Checks of the arithmetic in a chain: which of its written equalities hold, and where the first wrong one is.

Read are `27 + 30 = 57`, chains of equalities, GSM8K's `<<27+30=57>>`, LaTeX, units, money, percent and ≈. A side with a
letter, or one that the text around it may change (half of 20 + 5), is not checked: like a verdict, `wrong` needs both
sides to be understood whole. A result may be rounded to the digits that it shows.

Tools that verify steps with a calculator are known from GSM8K's annotations (Cobbe et al. 2021); the reader is ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from nsad_cli.grading.equivalence.normalise import SCALE_WORDS
from nsad_cli.grading.equivalence.unit_table import UNITS
from nsad_cli.grading.step_expressions import Expression, Token, expression_at, tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nsad_cli.grading.equivalence.number_arithmetic import Number

VERSION = "1"
"""Increase it when the checks of a text could change: stored counts are then computed again."""
MAX_CHARS = 20_000
"""Only this much of a text is read."""
MAX_STARTS = 40
"""The most tokens before a sign at which a left side may begin."""
_ANNOTATION = re.compile(r"<<([^<>\n]{1,200})>>")
_FLOATING = Fraction(1, 10**9)
"""The relative difference up to which irrational numbers, computed in floating point, are equal."""
_ROUGH, _FAR = Fraction(1, 100), Fraction(5, 100)
"""Relative differences: below the first, ≈ holds and a decimal may be rounded; above the second, ≈ does not hold."""
_CHANGING = frozenset(
    (
        *("twice", "double", "triple", "half", "times", "plus", "minus", "by", "over", "mod", "modulo", "log", "ln"),
        *("sin", "cos", "tan", "root", "squared", "cubed", "more", "less", "fewer", "remainder", "divided", "choose"),
        *("multiplied", "power", "base", "pair", "pairs", "percent", "cents", "cent", "quarter", "third", "than"),
        *("not", "if", "or", "wrong", "incorrect", "squares", "factorial", "negative"),
        *SCALE_WORDS,
    )
)
"""Words beside an expression, or in it, that may change its value."""
_PART_WORDS = frozenset(
    (
        *("half", "halves", "third", "thirds", "quarter", "quarters", "fourth", "fourths", "fifth", "fifths", "tenth"),
        *("tenths", "percent", "square", "root", "cube", "product", "multiple", "logarithm", "power", "remainder"),
    )
)
"""Words before `of` that make the number after it another one: half of 20 + 5, not a total of 20 + 5."""
_DENIED = re.compile(
    r"[\s.,;:$\\)\]]{0,8}(?:(?:but|so|and)\s+)?(?:which|this|that|it)?\s*(?:is|was|does)\s*(?:not\b|n't|false|impossible|wrong)"
    r"|[\s.,;:$\\)\]]{0,8}(?:which|this)\s+(?:is|gives|leads\s+to)\s+an?\s+(?:contradiction|impossibility)",
    re.IGNORECASE,
)
"""The text after an equality denies it: a case that is tried and refuted."""
_PLAIN_LETTERS = ("a", "A", "I")
_BULLETS = ("-", "*", "–")


@dataclass(frozen=True, slots=True)
class Equality:
    """An equality of a text; `holds` is None if it was not understood whole."""

    start: int
    end: int
    holds: bool | None


@dataclass(frozen=True, slots=True)
class StepChecks:
    """The checked equalities of a chain.

    Attributes:
        checked: The number of equalities that were checked.
        right: How many of them hold.
        first_wrong: Where the first one that does not hold begins and ends in the text; None if all hold.
    """

    checked: int = 0
    right: int = 0
    first_wrong: tuple[int, int] | None = None

    @property
    def share(self) -> float | None:
        """The share of checked equalities that hold; None if none was checked."""
        return self.right / self.checked if self.checked else None


def check_steps(text: str) -> StepChecks:
    """Check the arithmetic of a chain.

    Args:
        text: The chain.

    Returns:
        The counts and the place of the first wrong step.
    """
    found = [item for item in equalities(text) if item.holds is not None]
    wrong = [item for item in found if not item.holds]
    first = min(wrong, key=lambda item: item.start, default=None)
    return StepChecks(len(found), len(found) - len(wrong), None if first is None else (first.start, first.end))


def equalities(text: str) -> list[Equality]:
    """Find the equalities of a text in order, checked or not; sides without any arithmetic are no equality."""
    text = text[:MAX_CHARS]
    marks = list(_ANNOTATION.finditer(text))
    found = [
        Equality(item.start + mark.start(1), item.end + mark.start(1), item.holds)
        for mark in marks
        for item in _equalities(mark[1])
    ]
    blank = _ANNOTATION.sub(lambda mark: " " * len(mark[0]), text)
    annotated = [(mark.start(), mark.end()) for mark in marks]
    found += [
        item
        for item in _equalities(blank)  # 27 + 30 = <<27+30=57>>57 says the same twice
        if not any(item.start <= start and end <= item.end for start, end in annotated)
    ]
    return sorted(found, key=lambda item: item.start)


def _equalities(text: str) -> Iterator[Equality]:
    if "=" not in text and "≈" not in text and "\\approx" not in text:
        return
    tokens = tokens_of(text)
    signs = [place for place, token in enumerate(tokens) if token.kind in ("equals", "about")]
    for number, sign in enumerate(signs):
        begin = _line_start(tokens, sign, signs[number - 1] + 1 if number else 0)
        end = signs[number + 1] if number + 1 < len(signs) else len(tokens)
        right = _right_side(tokens, sign + 1, end)
        left = None if right is None else _left_side(tokens, begin, sign)
        if left is None or right is None or not (left.operators or right.operators):
            continue
        holds = _holds(left, right, about=tokens[sign].kind == "about")
        after = tokens[right.last - 1].end
        changed = _changed_before(tokens, begin, left.first) or _changed_after(tokens, right.last, end)
        if changed or (holds is False and _DENIED.match(text, after)):
            holds = None
        yield Equality(tokens[left.first].start, after, holds)


def _line_start(tokens: Sequence[Token], sign: int, after: int) -> int:
    """The first token of the left side's line; a sign that begins a line continues the line before."""
    place = sign
    while place > after and tokens[place - 1].kind == "line":
        place -= 1
    while place > after and tokens[place - 1].kind not in ("line", "other"):
        place -= 1
    return place


def _right_side(tokens: Sequence[Token], first: int, end: int) -> Expression | None:
    while first < end and (tokens[first].kind == "line" or tokens[first].text in ("{", "\\boxed")):
        first += 1
    line = next((place for place in range(first, end) if tokens[place].kind in ("line", "other")), end)
    return expression_at(tokens, first, line)


def _left_side(tokens: Sequence[Token], begin: int, sign: int) -> Expression | None:
    """The longest expression that ends at the sign."""
    last = sign
    while last > begin and tokens[last - 1].kind == "line":
        last -= 1
    for first in range(max(begin, last - MAX_STARTS), last):
        token = tokens[first]
        if token.kind == "operator" and (token.text not in "-−–" or _is_bullet(tokens, first)):
            continue
        if token.text == "{":  # an argument of a command
            continue
        found = expression_at(tokens, first, last)
        if found is not None and found.last == last:
            return found
    return None


def _is_bullet(tokens: Sequence[Token], place: int) -> bool:
    token = tokens[place]
    line = place == 0 or tokens[place - 1].kind == "line"
    return line and token.text in _BULLETS and place + 1 < len(tokens) and tokens[place + 1].spaced


def _changed_before(tokens: Sequence[Token], begin: int, first: int) -> bool:
    """Whether what stands before an expression may change its value."""
    if first == begin:
        return False
    token = tokens[first - 1]
    if token.kind == "word":
        return token.end == tokens[first].start or _word_changes(token.text.lower(), tokens[begin : first - 1])
    if token.kind == "letter":
        return token.text not in _PLAIN_LETTERS or not tokens[first].spaced
    if token.kind == "operator":
        return not _is_bullet(tokens, first - 1)
    if token.text in "([":
        return first - 2 >= begin and tokens[first - 2].kind in ("letter", "command", "number")
    return token.kind not in ("money", "fence", "line", "equals", "about") and token.text not in ",.;:>\"“'*|—"


def _word_changes(word: str, before: Sequence[Token]) -> bool:
    """Whether a word before an expression may change its value, given the tokens before the word."""
    last = before[-1] if before else None
    if word == "of" and last is not None:
        return last.text.lower() in _PART_WORDS or last.kind in ("number", "percent", "sign")
    if word == "and" and last is not None:  # the sum of 5 and 3 + 2
        return last.kind == "number"
    return word in _CHANGING


def _changed_after(tokens: Sequence[Token], last: int, end: int) -> bool:
    """Whether what stands after an expression may change its value."""
    if last >= len(tokens) or last >= end:
        return False
    token, after = tokens[last], tokens[last + 1] if last + 1 < len(tokens) else None
    if token.kind == "word":
        return token.text.lower() in _CHANGING
    if token.kind == "operator":
        return not (token.text in ("-", "−", "–", "*", "**") and (after is None or after.kind in ("word", "line")))
    if token.text in "([" and after is not None:
        return after.kind != "word" or after.text.lower() in _CHANGING
    if token.text in ",:." and after is not None:
        return after.kind == "number" and after.start == token.end
    return token.text in "!?_|" or token.kind in (
        "letter",
        "command",
        "number",
        "frac",
        "root",
        "pi",
        "percent",
        "power",
    )


def _holds(left: Expression, right: Expression, *, about: bool) -> bool | None:
    """Whether two sides are equal, one is the other one rounded, or (≈) they are near; None if that is not clear."""
    p, q = left.value(), right.value()
    if (
        p is None
        or q is None
        or not (isinstance(p, Fraction) or not p.imag)
        or not (isinstance(q, Fraction) or not q.imag)
    ):
        return None
    exact = isinstance(p, Fraction) and isinstance(q, Fraction)
    p, q = _real(p), _real(q)
    if (
        p == q
        or (not exact and abs(p - q) <= _FLOATING * max(abs(p), abs(q)))
        or any(_rounds_to(mine, other, side) for mine, other, side in ((p, q, right), (q, p, left)))
    ):
        return True
    if (left.percents or right.percents) and (p == 100 * q or q == 100 * p):  # 5 / 25 * 100 = 20%
        return True
    return _apart(p, q, about, left, right)


def _real(value: Number) -> Fraction:
    return value if isinstance(value, Fraction) else Fraction(value.real)


def _apart(p: Fraction, q: Fraction, about: bool, left: Expression, right: Expression) -> bool | None:
    apart = abs(p - q) / max(abs(p), abs(q))
    if about and apart <= _ROUGH:
        return True
    whole = (p.denominator == 1) != (q.denominator == 1) and abs(p - q) < 1  # 7 / 2 = 3
    if whole or (about and apart <= _FAR) or ((left.rounded or right.rounded) and apart <= _ROUGH):
        return None
    return None if _other_units(left, right) or _mixed_percents(left) or _mixed_percents(right) else False


def _other_units(left: Expression, right: Expression) -> bool:
    """Whether units may explain a difference: 3 dozen, 2 hours + 30 minutes = 150 minutes, 9 feet = 9 * 12."""
    words = {word.lower() for word in (*left.units, *right.units)}
    sizes = {UNITS[word].size for word in (*left.units, *right.units) if word in UNITS}
    quantity = not left.operators or (left.operators == 1 and "/" in left.formula)
    converted = quantity and left.units and not {*left.units} & {*right.units}
    return bool(words & _CHANGING or len(sizes) > 1 or converted)


def _mixed_percents(side: Expression) -> bool:
    """Whether percents are added to plain numbers: 28% - 0.5."""
    return 0 < side.percents < side.numbers and ("+" in side.formula or "-" in side.formula)


def _rounds_to(value: Fraction, shown: Fraction, side: Expression) -> bool:
    """Whether a side that is a plain decimal shows a value rounded or cut to its digits."""
    digits = side.decimals
    if not digits or digits > 50:
        return False
    apart = abs(value - shown) * 10**digits
    return apart <= Fraction(1, 2) or (apart < 1 and abs(shown) < abs(value) and digits > 1)
