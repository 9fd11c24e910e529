"""Verdicts on rationales, from comparing the stated answer with the gold answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nsad_cli.grading.checker import Checker, Equivalence
from nsad_cli.grading.equivalence.exact_values import number
from nsad_cli.grading.equivalence.normalise import VALUE_CHANGING_WORDS, normalise
from nsad_cli.grading.equivalence.text_answers import numbers_of
from nsad_cli.grading.extract import Extraction, Marker, extract
from nsad_cli.types import Finish, Grade, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def grade_texts(
    items: Sequence[tuple[str, str, Finish]],
    checker: Checker,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> list[Grade]:
    """Grade rationales.

    Only an explicit answer that a checker finds different is `wrong`. The last number of a text without a marker may
    prove `correct`, nothing else. A text that states two different explicit answers is `disputed`.

    Args:
        items: (text, gold answer, finish reason) of each rationale.
        checker: Decides the equivalence of answers.
        on_progress: Called with (done, total) pairs of answers that the second checker has to decide.

    Returns:
        One grade for each item, in order.
    """
    extractions = [extract(text, gold) for text, gold, _ in items]
    pairs: list[tuple[str, str]] = []
    for extraction, (_, gold, _) in zip(extractions, items, strict=True):
        if extraction.answer is not None and gold.strip():
            pairs.append((extraction.answer, gold))
            pairs.extend((other, extraction.answer) for other in extraction.others)
    outcomes = dict(zip(pairs, checker.equivalent(pairs, on_progress), strict=True))
    return [
        _grade(extraction, gold.strip() and gold, finish, outcomes)
        for extraction, (_, gold, finish) in zip(extractions, items, strict=True)
    ]


def _grade(extraction: Extraction, gold: str, finish: Finish, outcomes: dict[tuple[str, str], Equivalence]) -> Grade:
    answer, marker = extraction.answer, extraction.marker
    if finish is Finish.FILTERED:
        return Grade(Verdict.FILTERED, answer, "the reply was filtered")
    if not gold:
        return Grade(Verdict.BAD_GOLD, answer, "no gold answer")
    unanswered = (
        Grade(Verdict.TRUNCATED, answer, "cut off before an answer")
        if finish is Finish.LENGTH
        else Grade(Verdict.NO_ANSWER, answer, "states no answer")
    )
    if marker is Marker.OPEN_BOX and finish is not Finish.LENGTH:
        return Grade(Verdict.DISPUTED, answer, "its last box is not closed")
    if answer is None or marker is None or marker is Marker.OPEN_BOX:
        return unanswered
    outcome = outcomes[answer, gold]
    if marker is Marker.LAST_NUMBER:
        right = outcome is Equivalence.EQUAL and not extraction.others
        return Grade(Verdict.CORRECT, answer, "its last number equals the gold answer") if right else unanswered
    contradicting = [other for other in extraction.others if outcomes[other, answer] is not Equivalence.EQUAL]
    if contradicting:
        return Grade(Verdict.DISPUTED, answer, f"also states {contradicting[-1][:60]}")
    if outcome is Equivalence.EQUAL and _unfactored(answer, gold):
        return Grade(Verdict.DISPUTED, answer, "equals the gold answer, which is factored")
    if outcome is Equivalence.EQUAL:
        return Grade(Verdict.CORRECT, answer, f"{marker} equals the gold answer")
    if finish is Finish.LENGTH:
        return Grade(Verdict.TRUNCATED, answer, "cut off; the answer so far differs")
    if outcome is Equivalence.TIMEOUT:
        return Grade(Verdict.TIMEOUT, answer, "the checker ran out of time")
    if outcome is Equivalence.UNDECIDED:
        return Grade(Verdict.DISPUTED, answer, "no checker can read it")
    if _may_mean(answer, gold, marker):
        return Grade(Verdict.DISPUTED, answer, "the right number occurs among words")
    return Grade(Verdict.WRONG, answer, f"{marker} differs from the gold answer")


def _unfactored(answer: str, gold: str) -> bool:
    """Whether the gold answer is a product of sums and the answer its expansion, which does not solve it."""
    if re.search(r"\\|[,=]", gold) or not re.search(r"\([^()]*[a-z][^()]*[-+]|\([^()]*[-+][^()]*[a-z]", gold):
        return False
    return not _is_sum(gold) and _is_sum(answer)


def _is_sum(formula: str) -> bool:
    depth, outside = 0, ""
    for sign in normalise(formula):
        depth += (sign in "([{") - (sign in ")]}")
        outside += sign if depth == 0 else ""
    return bool(re.search(r"[-+]", outside[1:]))


def _may_mean(answer: str, gold: str, marker: Marker) -> bool:
    """Whether an answer in words could still mean the gold number: `7 out of 10` or `7!` for 7, or `5 million`."""
    value = number(normalise(gold))
    bare = re.sub(r"\\(?:text|mbox|mathrm)\s*\{([^{}]*)\}", r" \1 ", answer)
    words = {word.lower() for word in re.findall(r"[A-Za-z]{2,}", bare)}
    if value is None or "\\" in bare:
        return False
    if VALUE_CHANGING_WORDS & words:  # twice 7, 7 below zero, 3 dozen: the words change the number
        return True
    return marker is not Marker.BOXED and bool(words or answer.endswith("!")) and value in numbers_of(answer)
