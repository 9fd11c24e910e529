"""Classes of equivalent answers, which votes are counted by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.grading.checker import Checker, Equivalence

if TYPE_CHECKING:
    from collections.abc import Sequence


def answer_classes(answers: Sequence[str | None], checker: Checker, *, wait: bool = True) -> list[int | None]:
    """Partition answers into the connected components of pairwise equivalence.

    Args:
        answers: The answers; None for no answer.
        checker: Decides the equivalence of answers.
        wait: See `Checker.equivalent`.

    Returns:
        For each answer the lowest position of its class; None for no answer.
    """
    distinct = list(dict.fromkeys(answer for answer in answers if answer is not None))
    pairs = [(a, b) for i, a in enumerate(distinct) for b in distinct[i + 1 :]]
    parent = {answer: answer for answer in distinct}

    def root(answer: str) -> str:
        while parent[answer] != answer:
            answer = parent[answer]
        return answer

    for (a, b), outcome in zip(pairs, checker.equivalent(pairs, wait=wait), strict=True):
        if outcome is Equivalence.EQUAL:
            parent[root(b)] = root(a)
    first: dict[str, int] = {}
    for index, answer in enumerate(answers):
        if answer is not None:
            first.setdefault(root(answer), index)
    return [None if answer is None else first[root(answer)] for answer in answers]
