"""Whether two answers are the same: cheap deciders in order, for each kind of answer one."""

from __future__ import annotations

import re

from nsad_cli.grading.equivalence import composites as parts
from nsad_cli.grading.equivalence import scalars as quantities
from nsad_cli.grading.equivalence import text_answers as wording
from nsad_cli.grading.equivalence.decision import DIFFERENT, EQUAL, OPEN, UNDECIDABLE, Decider, Decision
from nsad_cli.grading.equivalence.normalise import LONGEST, normalise


def decide(a: str, b: str) -> Decision:
    """Decide two answers, or say what is left to the second checker.

    Equal normalised strings, exact values or parts are equal; known values that are far apart, different brackets of
    intervals and different plain words differ. A number in a few words ("7 in total") counts as that number beside a
    plain one. Symmetric, and reflexive on everything.
    """
    if a.strip() == b.strip():
        return EQUAL
    if len(a) > LONGEST or len(b) > LONGEST:
        return UNDECIDABLE
    a, b = sorted(wording.with_signs(text) for text in (a, b))
    try:
        return _decide(a, b)
    except (ArithmeticError, ValueError, RecursionError):  # too large, or too deep
        return UNDECIDABLE


def _decide(a: str, b: str) -> Decision:
    x, y = normalise(a), normalise(b)
    decisions = (decider(a, b, x, y) for decider in DECIDERS)
    decision = next((decision for decision in decisions if decision is not None), OPEN)
    return UNDECIDABLE if decision is OPEN and not _read_alike(x, y) else decision


def _read_alike(x: str, y: str) -> bool:
    """Whether the second checker may be asked: it drops letters, numbers and sides of equations."""
    first, second = (frozenset(re.findall(r"(?<![\\a-zA-Z])[a-zA-Z]+", text)) for text in (x, y))
    loose = any(re.search(r"=|__|[-+*/^<>]$", text) or ("\\\\" in text and "\\begin" not in text) for text in (x, y))
    return first == second and not loose


def choices(a: str, b: str, x: str, y: str) -> Decision | None:
    """Multiple choice: by letter where both tell it, else by what stands beside the letter."""
    first, second = wording.choice(a), wording.choice(b)
    if first is None and second is None:
        return None
    if first and second:
        return EQUAL if first[0] == second[0] else DIFFERENT
    told, other = (first, b) if first else (second, a)
    assert told is not None
    if told[1]:
        decision = decide(told[1], other)
        return UNDECIDABLE if decision is OPEN else decision
    return None if wording.has_capital(other) else UNDECIDABLE  # what the letter stands for is not known here


def among_words(a: str, b: str, x: str, y: str) -> Decision | None:
    """Where the other answer stands among words, or is one of two alternatives, it may be meant."""
    for text, other in ((a, b), (b, a)):
        inner = re.sub(r"^(?:[A-Za-z]+\s+)+|(?:\s+[A-Za-z]+)+$", "", text)
        pieces = [inner, *re.split(r"\s+or\s+|\\text\{\s*or\s*\}", text)]
        if any(piece != text and decide(piece, other) is EQUAL for piece in pieces):
            return UNDECIDABLE
    return None


DECIDERS: tuple[Decider, ...] = (
    wording.unreadable,
    quantities.compounds,
    quantities.units,
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
    wording.words,
)
"""In order; the first that decides counts."""
