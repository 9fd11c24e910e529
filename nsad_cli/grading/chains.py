"""Answers, answer classes and correctness of chains."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from nsad_cli.grading.answer_classes import answer_classes
from nsad_cli.grading.checker import Checker, Equivalence
from nsad_cli.grading.extract import Marker, extract
from nsad_cli.types import Chain, Finish

if TYPE_CHECKING:
    from collections.abc import Sequence


def complete(chains: Sequence[Chain], gold: str, checker: Checker, *, wait: bool = True) -> list[Chain]:
    """Fill in answer, class and (where a gold answer is known) correctness of one problem's chains.

    wait=False: as far as that is known without the second checker; see Checker.equivalent.
    """
    answers = [_answer(chain) for chain in chains]
    positions = answer_classes(answers, checker, wait=wait)
    known = sorted({answer for answer in answers if answer is not None}) if gold.strip() else []
    outcomes = checker.equivalent([(answer, gold) for answer in known], wait=wait)
    right = {answer for answer, outcome in zip(known, outcomes, strict=True) if outcome is Equivalence.EQUAL}
    return [
        dataclasses.replace(
            chain,
            answer=answer,
            answer_class=None if position is None else chains[position].index,
            correct=(answer in right) if gold.strip() else None,
        )
        for chain, answer, position in zip(chains, answers, positions, strict=True)
    ]


def _answer(chain: Chain) -> str | None:
    """A chain's answer: the one that it came with, or what its text states.

    The last number of a chain that was cut off is a step on its way ("27 - 7 = 2"), even where it came as its answer.
    """
    cut = chain.finish is Finish.LENGTH
    if chain.answer is not None and not cut:
        return chain.answer
    found = extract(chain.text)
    if cut and found.marker in (Marker.LAST_NUMBER, None):
        return None
    return found.answer if chain.answer is None else chain.answer
