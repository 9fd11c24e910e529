"""Problem → chains → answers, classes and weights → ballot."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from nsad_cli.answers.checker import Checker, Outcome
from nsad_cli.answers.classes import answer_classes
from nsad_cli.answers.extract import extract
from nsad_cli.generation.sampler import Sampler, Sampling, Task
from nsad_cli.types import Ballot, Chain, Problem
from nsad_cli.voting import vote


class Ranker(Protocol):
    """Scores chains."""

    name: str

    def score(self, problem: Problem, chains: Sequence[Chain]) -> list[float | None]:
        """A score ≥ 0 for each chain, None for one that cannot be scored."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A solved problem: the ballot, all chains by index, and what had to be done without."""

    ballot: Ballot
    chains: tuple[Chain, ...]
    notes: tuple[str, ...] = ()


def solve(
    problem: Problem,
    sampler: Sampler,
    sampling: Sampling,
    n: int,
    rule: str,
    ranker: Ranker | None,
    checker: Checker,
    *,
    seed: str,
    on_chain: Callable[[Chain], None] = lambda _: None,
) -> Solution:
    """Sample n chains and let them vote; without a ranker a rule that needs one becomes `sc`, and the notes say so."""
    chains = []
    for chain in sampler.sample([Task(problem.id, problem.question, tuple(range(n)))], sampling, seed=seed):
        read = dataclasses.replace(chain, answer=extract(chain.text).answer)
        on_chain(read)
        chains.append(read)
    finished = complete(sorted(chains, key=lambda chain: chain.index), problem.answer, checker)
    notes = []
    if ranker is not None:
        scores = ranker.score(problem, finished)
        finished = [dataclasses.replace(c, weight=score) for c, score in zip(finished, scores, strict=True)]
    elif rule not in ("sc", "wsc"):
        notes.append(f"no ranker: `sc` instead of `{rule}`")
        rule = "sc"
    return Solution(vote(finished, rule), tuple(finished), tuple(notes))


def complete(chains: Sequence[Chain], gold: str, checker: Checker) -> list[Chain]:
    """Fill in answer, class and (where a gold answer is known) correctness of one problem's chains."""
    answers = [chain.answer if chain.answer is not None else extract(chain.text).answer for chain in chains]
    positions = answer_classes(answers, checker)
    known = sorted({answer for answer in answers if answer is not None}) if gold.strip() else []
    outcomes = checker.equivalent([(answer, gold) for answer in known])
    right = {answer for answer, outcome in zip(known, outcomes, strict=True) if outcome is Outcome.EQUAL}
    return [
        dataclasses.replace(
            chain,
            answer=answer,
            answer_class=None if position is None else chains[position].index,
            correct=(answer in right) if gold.strip() else None,
        )
        for chain, answer, position in zip(chains, answers, positions, strict=True)
    ]
