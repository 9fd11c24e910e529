"""Classes of equivalent answers, which votes are counted by.

Equivalence is not transitive: 50% may mean 50 and 0.5, which differ. So answers join only if all of them are
equivalent. An answer is ambiguous if it is equivalent to two answers that are not; it joins the larger side.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.grading.checker import Checker, Equivalence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class AnswerClass:
    """Answers that count as one.

    Attributes:
        representative: The most frequent unambiguous spelling, which the class is right or wrong by.
        answers: All spellings.
    """

    representative: str
    answers: frozenset[str]


def answer_classes(answers: Sequence[str | None], checker: Checker, *, wait: bool = True) -> list[int | None]:
    """Partition answers into classes; the order of the answers has no effect on who shares a class.

    Args:
        answers: The answers; None for no answer.
        checker: Decides the equivalence of answers.
        wait: See `Checker.equivalent`.

    Returns:
        For each answer the lowest position of its class; None for no answer.
    """
    class_of = classes_by_answer(answers, checker, wait=wait)
    first: dict[str, int] = {}
    for index, answer in enumerate(answers):
        if answer is not None:
            first.setdefault(class_of[answer].representative, index)
    return [None if answer is None else first[class_of[answer].representative] for answer in answers]


def classes_by_answer(answers: Sequence[str | None], checker: Checker, *, wait: bool = True) -> dict[str, AnswerClass]:
    """Partition answers; see `answer_classes`.

    Returns:
        The class of each distinct answer.
    """
    counts = Counter(answer for answer in answers if answer is not None)
    distinct = sorted(counts)
    pairs = [(a, b) for i, a in enumerate(distinct) for b in distinct[i + 1 :]]
    equal = {answer: {answer} for answer in distinct}
    for (a, b), outcome in zip(pairs, checker.equivalent(pairs, wait=wait), strict=True):
        if outcome is Equivalence.EQUAL:
            equal[a].add(b)
            equal[b].add(a)
    return {answer: found for found in partition(counts, equal) for answer in found.answers}


def partition(counts: Mapping[str, int], equal: Mapping[str, set[str]]) -> list[AnswerClass]:
    """Partition answers so that all answers of a class are equivalent.

    The unambiguous answers, whose equivalents are all equivalent to each other, are classes by themselves. Then each
    ambiguous one, the most frequent first, joins the class with the most votes among those that it is equivalent to.

    Args:
        counts: How often each answer was given.
        equal: For each answer the equivalent ones, itself included.
    """

    def rank(answer: str) -> tuple[int, int, str]:
        return (-counts[answer], len(answer), answer)

    ambiguous = {a for a in counts if any(not equal[a] <= equal[b] for b in equal[a])}
    groups: list[list[str]] = []
    for answer in (*sorted(counts.keys() - ambiguous, key=rank), *sorted(ambiguous, key=rank)):
        agreeing = [group for group in groups if equal[answer].issuperset(group)]
        if agreeing:
            sizes = {id(group): sum(counts[member] for member in group) for group in agreeing}
            max(agreeing, key=lambda group: sizes[id(group)]).append(answer)  # of equal sizes the first by rank
        else:
            groups.append([answer])
    return [AnswerClass(group[0], frozenset(group)) for group in groups]
