"""Decide whether two answers are equivalent, by a sequence of rules, each for one kind of answer."""

from __future__ import annotations

import re

from nsad_cli.grading.equivalence import composites as parts
from nsad_cli.grading.equivalence import notations
from nsad_cli.grading.equivalence import quantity_rules as measures
from nsad_cli.grading.equivalence import scalars as quantities
from nsad_cli.grading.equivalence import text_answers as wording
from nsad_cli.grading.equivalence.decision import DIFFERENT, EQUAL, OPEN, UNDECIDABLE, Decider, Decision
from nsad_cli.grading.equivalence.normalise import MAX_FORMULA_CHARS, is_simple, normalise

_INTEGER = re.compile(r"-?\d{1,60}", re.ASCII)


def decide(a: str, b: str) -> Decision:
    """Decide whether two answers are equivalent.

    Equal normalised strings, exact values or parts are equal. Known values that are far apart, intervals with different
    brackets and different plain words differ. A number in a few words ("7 in total") counts as that number when it is
    compared with a plain one. The decision is symmetric, and any answer equals itself.

    Returns:
        The decision; OPEN leaves it to the second checker.
    """
    if a.strip() == b.strip():
        return EQUAL
    if _INTEGER.fullmatch(a) and _INTEGER.fullmatch(b):
        return EQUAL if int(a) == int(b) else DIFFERENT
    if len(a) > MAX_FORMULA_CHARS or len(b) > MAX_FORMULA_CHARS:
        return UNDECIDABLE
    if is_simple(a) and is_simple(b):
        p, q = sorted((a, b))
        decision = quantities.plain_numbers(p, q, normalise(p), normalise(q))
        if decision in (EQUAL, DIFFERENT):  # as by all rules: none before this one applies
            return decision
    a, b = sorted(wording.plain_percent(text) for text in (a, b))
    try:
        return _decide(a, b)
    except (ArithmeticError, ValueError, RecursionError):  # too large, or too deep
        return UNDECIDABLE


def _decide(a: str, b: str) -> Decision:
    x, y = normalise(a), normalise(b)
    decisions = (decider(a, b, x, y) for decider in DECIDERS)
    decision = next((decision for decision in decisions if decision is not None), OPEN)
    return UNDECIDABLE if decision is OPEN and not _read_alike(x, y) else decision


_MARKS = (
    re.compile(r"[a-zA-Z)}]\s*(?:'|\^\{?\\prime)+|\^\{?\\?(?:\*|ast|star|dagger|T|top)\}?(?![a-zA-Z])"),
    re.compile(
        r"\\(?:d?dot|(?:wide)?(?:bar|hat|tilde)|vec|over(?:line|rightarrow)|underline|mathring|Delta|nabla|partial|neg|not"
        r"|lnot|lfloor|lceil|det|gcd|lcm|max|min|sup|inf|arg|Re|Im|lim|angle|triangle|mathcal|mathbb|mathfrak|operatorname"
        r"|deg|dim|ker|Pr)(?![a-zA-Z])"
    ),
    re.compile(r"(?<![a-zA-Z])\|"),
)
"""Marks that change what a letter means."""


def _marks(text: str, pattern: re.Pattern[str]) -> list[str]:
    return sorted(re.sub(r"\s", "", match[0]).replace("\\prime", "'") for match in pattern.finditer(text))


def _read_alike(x: str, y: str) -> bool:
    """Whether the second checker may be used: it drops letters, primes, accents, numbers and sides of equations."""
    if any(_marks(x, pattern) != _marks(y, pattern) for pattern in _MARKS):
        return False
    if any(re.search(r"(?<![\\a-zA-Z])[a-zA-Z]+\d", text) for text in (x, y)):
        return False  # CO2 and C2O
    first, second = (frozenset(re.findall(r"(?<![\\a-zA-Z])[a-zA-Z]+", text)) for text in (x, y))
    loose = any(re.search(r"=|__|[-+*/^<>]$", text) or ("\\\\" in text and "\\begin" not in text) for text in (x, y))
    return first == second and not loose


def choices(a: str, b: str, _x: str, _y: str) -> Decision | None:
    """Multiple choice: compare the letters, or the text next to a letter if only one answer has a letter."""
    first, second = wording.choice(a), wording.choice(b)
    if first is None and second is None:
        return None
    if first and second:
        return EQUAL if first[0] == second[0] else DIFFERENT
    lettered, other = (first, b) if first else (second, a)
    assert lettered is not None
    if lettered[1]:
        decision = decide(lettered[1], other)
        return UNDECIDABLE if decision is OPEN else decision
    return None if wording.has_capital(other) else UNDECIDABLE  # the meaning of the letter is unknown here


def among_words(a: str, b: str, _x: str, _y: str) -> Decision | None:
    """Undecidable if one answer occurs among the words of the other, or is one of two alternatives."""
    for text, other in ((a, b), (b, a)):
        inner = re.sub(r"^(?:[A-Za-z]+\s+)+|(?:\s+[A-Za-z]+)+$", "", text)
        pieces = [inner, *re.split(r"\s+or\s+|\\text\{\s*or\s*\}", text)]
        if any(piece != text and decide(piece, other) is EQUAL for piece in pieces):
            return UNDECIDABLE
    return None


DECIDERS: tuple[Decider, ...] = (
    wording.unreadable_formulas,
    notations.dates,
    notations.numerals,
    notations.labels,
    measures.compounds,
    measures.units,
    quantities.solved,
    wording.same_strings,
    wording.clocks,
    quantities.plain_numbers,
    quantities.scaled,
    choices,
    quantities.bases,
    quantities.ratios,
    quantities.formulas,
    quantities.enormous,
    quantities.branches,
    parts.unions,
    parts.several,
    quantities.equations,
    among_words,
    wording.plain_words,
)
"""The rules in order; the first that applies decides."""
