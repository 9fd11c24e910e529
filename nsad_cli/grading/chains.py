"""Grade chains: their answers, answer classes and correctness."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from nsad_cli.grading.answer_classes import classes_by_answer
from nsad_cli.grading.checker import Checker, Equivalence
from nsad_cli.grading.extract import Marker, extract
from nsad_cli.types import Chain, Finish

if TYPE_CHECKING:
    from collections.abc import Sequence


def grade_chains(chains: Sequence[Chain], gold: str, checker: Checker, *, wait: bool = True) -> list[Chain]:
    """Fill in the answer, answer class and correctness of one problem's chains.

    Args:
        chains: The chains of one problem.
        gold: The gold answer; if blank, `correct` is None.
        checker: Decides the equivalence of answers.
        wait: If False, use only what is known without the second checker; see `Checker.equivalent`.

    Returns:
        Copies of the chains, in order. The class of an answer is the index of the first chain that states it. A chain
        is correct if the representative of its class is equivalent to the gold answer.
    """
    answers = [_answer(chain) for chain in chains]
    class_of = classes_by_answer(answers, checker, wait=wait)
    representatives = [None if answer is None else class_of[answer].representative for answer in answers]
    known = sorted({answer for answer in representatives if answer is not None}) if gold.strip() else []
    outcomes = checker.equivalent([(answer, gold) for answer in known], wait=wait)
    right = {answer for answer, outcome in zip(known, outcomes, strict=True) if outcome is Equivalence.EQUAL}
    first: dict[str, int] = {}
    for chain, name in zip(chains, representatives, strict=True):
        if name is not None:
            first.setdefault(name, chain.index)
    return [
        dataclasses.replace(
            chain,
            answer=answer,
            answer_class=None if name is None else first[name],
            correct=(name in right) if gold.strip() else None,
        )
        for chain, answer, name in zip(chains, answers, representatives, strict=True)
    ]


def _answer(chain: Chain) -> str | None:
    """A chain's answer: the given one, or the one extracted from its text.

    The last number of a truncated chain is an intermediate result ("27 - 7 = 2"), even if it was given as the answer.
    """
    truncated = chain.finish is Finish.LENGTH
    if chain.answer is not None and not truncated:
        return chain.answer
    found = extract(chain.text)
    if truncated and found.marker in (Marker.LAST_NUMBER, Marker.OPEN_BOX, None):
        return None
    return found.answer if chain.answer is None else chain.answer
