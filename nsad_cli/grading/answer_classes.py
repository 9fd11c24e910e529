"""Classes of equivalent answers, before any vote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.grading.checker import Checker, Equivalence

if TYPE_CHECKING:
    from collections.abc import Sequence


def answer_classes(answers: Sequence[str | None], checker: Checker, *, wait: bool = True) -> list[int | None]:
    """Connected components of pairwise equivalence: each answer's class is its lowest position; None stays None.

    wait: see Checker.equivalent.
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
