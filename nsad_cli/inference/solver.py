"""Problem → chains → answers, classes and weights → ballot; in waves where it may stop early."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nsad_cli.generation.sampler import Sampler, Sampling, Task
from nsad_cli.grading.chains import grade_chains
from nsad_cli.types import Ballot, Chain, Problem
from nsad_cli.voting.early_stopping import confidence, require_stoppable
from nsad_cli.voting.rules import RANKER_RULES, applicable_rule, name_problem_in_errors, vote

if TYPE_CHECKING:
    from nsad_cli.grading.checker import Checker


class Ranker(Protocol):
    """Scores chains."""

    name: str

    def score(self, problem: Problem, chains: Sequence[Chain]) -> list[float | None]:
        """A score ≥ 0 for each chain, None for one that cannot be scored."""


@dataclass(frozen=True, slots=True)
class VoteSettings:
    """How a problem is asked: the most chains, the rule, and with `stop_at` when fewer are enough.

    stop_at: the probability that the leader stays the leader (see stopping) at which no further wave is drawn.
    """

    samples: int
    rule: str
    stop_at: float | None = None
    wave: int = 1
    """Chains of a problem that are drawn at once, where it may stop."""

    def waves(self) -> list[tuple[int, ...]]:
        """The chains' indices, wave by wave."""
        size = self.samples if self.stop_at is None else self.wave
        return [tuple(range(i, min(i + size, self.samples))) for i in range(0, self.samples, size)]


@dataclass(frozen=True, slots=True)
class Solution:
    """A solved problem: the ballot, all chains by index, and what had to be done without."""

    problem: Problem
    ballot: Ballot
    chains: tuple[Chain, ...]
    notes: tuple[str, ...] = ()
    sure: float | None = None
    """The probability that the leader stays it, where the vote was asked to stop by that."""


ChainCallback = Callable[[Problem, Sequence[Chain]], None]
"""Gets a problem's chains so far, by index and scored, whenever one has arrived; hard answers may be apart still."""


class Solver:
    """What turns problems into solutions: an engine, a ranker or none, and the checker."""

    def __init__(
        self,
        sampler: Sampler,
        sampling: Sampling,
        ranker: Ranker | None,
        checker: Checker,
        ask: VoteSettings,
        *,
        seed: str,
    ) -> None:
        """Raises UsageError where the rule cannot stop early and is asked to.

        Without a ranker a rule that needs one becomes `sc`, and the solutions' notes say so.
        """
        self.notes: tuple[str, ...] = ()
        if ranker is None and ask.rule in RANKER_RULES:
            self.notes = (f"no ranker: `sc` instead of `{ask.rule}`",)
            ask = dataclasses.replace(ask, rule="sc")
        if ask.stop_at is not None:
            require_stoppable(ask.rule)
        self.sampler, self.sampling, self.ranker, self.checker = sampler, sampling, ranker, checker
        self.ask, self.seed = ask, seed

    def solve(
        self,
        problems: Sequence[Problem],
        watch: ChainCallback | None = None,
        on_tokens: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Solution]:
        """Solve problems beside each other, each wave of all of them in one call of the engine; yield as they finish.

        watch: see Watch; to show scores as chains arrive, each is then scored by itself. on_tokens: see Sampler.
        """
        chains: dict[str, list[Chain]] = {problem.id: [] for problem in problems}
        waiting = {problem.id: problem for problem in problems}
        for wave in self.ask.waves():
            tasks = [Task(problem.id, problem.question, wave) for problem in waiting.values()]
            for chain in self.sampler.sample(tasks, self.sampling, seed=self.seed, on_tokens=on_tokens):
                problem, own = waiting[chain.problem_id], [*chains[chain.problem_id], chain]
                whole = len(own) == wave[-1] + 1
                # While others are written a process that compares hard answers may start: nothing waits for it here.
                own = grade_chains(sorted(own, key=lambda item: item.index), problem.answer, self.checker, wait=whole)
                chains[problem.id] = own = self._scored(problem, own) if whole or watch is not None else own
                if watch is not None:
                    watch(problem, own)
                solution = self._decide(problem, own) if whole else None
                if solution is not None:
                    del waiting[problem.id]
                    yield solution
            if not waiting:
                return

    def _scored(self, problem: Problem, chains: list[Chain]) -> list[Chain]:
        """Chains with the ranker's scores; those that have one keep it."""
        unscored = [chain for chain in chains if chain.weight is None]
        if self.ranker is None or not unscored:
            return chains
        scores = dict(zip([c.index for c in unscored], self.ranker.score(problem, unscored), strict=True))
        return [dataclasses.replace(c, weight=scores.get(c.index, c.weight)) for c in chains]

    def _decide(self, problem: Problem, chains: Sequence[Chain]) -> Solution | None:
        """The solution, where no further chain is wanted."""
        ask, rule = self.ask, applicable_rule(chains, self.ask.rule)
        with name_problem_in_errors(problem.question):
            sure = None if ask.stop_at is None else confidence(chains, rule)
            if len(chains) < ask.samples and (sure is None or sure < (ask.stop_at or 1.0)):
                return None
            return Solution(problem, vote(chains, rule), tuple(chains), self.notes, sure)
