"""The solver: samples chains for problems, grades and scores them, and votes; in waves with early stopping."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nsad_cli.generation.sampler import Sampler, Sampling, Task
from nsad_cli.grading.chains import grade_chains
from nsad_cli.types import Ballot, Chain, Problem, Score
from nsad_cli.voting.early_stopping import confidence, require_stoppable
from nsad_cli.voting.rules import RANKER_RULES, applicable_rule, name_problem_in_errors, vote

if TYPE_CHECKING:
    from nsad_cli.config.schema import SolveConfig
    from nsad_cli.grading.checker import Checker


class Ranker(Protocol):
    """Assigns scores to chains."""

    name: str

    @property
    def refused(self) -> str | None:
        """Why the ranker must not weight votes: it was measured, and does not rank above chance."""

    def score(self, problem: Problem, chains: Sequence[Chain]) -> list[Score | None]:
        """Return a score for each chain, None for a chain that cannot be scored."""


@dataclass(frozen=True, slots=True)
class VoteSettings:
    """The number of chains per problem, the voting rule, and early stopping."""

    samples: int
    """The number of chains; with early stopping the maximum."""
    rule: str
    stop_at: float | None = None
    """Stop sampling once the leading answer is this likely to stay ahead (see voting.early_stopping); None: never."""
    wave: int = 1
    """The number of chains of a problem sampled at once; used only with early stopping."""

    @classmethod
    def of(
        cls,
        defaults: SolveConfig,
        samples: int | None = None,
        rule: str | None = None,
        stop_at: float | None = None,
        wave: int = 4,
    ) -> VoteSettings:
        """Return the recipe's settings with those given in their place."""
        return cls(samples or defaults.samples, rule or defaults.rule, stop_at, wave)

    def waves(self) -> list[tuple[int, ...]]:
        """Return the chains' indices of each wave."""
        size = self.samples if self.stop_at is None else self.wave
        return [tuple(range(i, min(i + size, self.samples))) for i in range(0, self.samples, size)]


@dataclass(frozen=True, slots=True)
class Solution:
    """A solved problem: the ballot, all chains in order of index, and notes on fallbacks."""

    problem: Problem
    ballot: Ballot
    chains: tuple[Chain, ...]
    notes: tuple[str, ...] = ()
    sure: float | None = None
    """The probability that the leader stays ahead; None without early stopping."""
    ranker_refused: str | None = None
    """Why the run's ranker does not weight the votes; None if it does, or if there is none."""


ChainCallback = Callable[[Problem, Sequence[Chain]], None]
"""Called with a problem and its chains so far, scored and in order of index, whenever a chain arrives.

Equivalence of answers that are slow to compare may not be decided yet."""


class Election:
    """The vote on a problem's chains: its rule, and when there are enough of them."""

    def __init__(self, ranker: Ranker | None, settings: VoteSettings) -> None:
        """Create an election; without a ranker, or with a refused one, a rule that needs one is replaced by `sc`.

        Raises:
            UsageError: Early stopping is requested, but the rule does not support it.
        """
        self.notes: tuple[str, ...] = ()
        self.refused = ranker.refused if ranker is not None and settings.rule in RANKER_RULES else None
        """Why the run's ranker does not weight these votes."""
        if self.refused is not None:
            ranker = None
        if ranker is None and settings.rule in RANKER_RULES:
            why = "no ranker" if self.refused is None else f"the ranker is refused ({self.refused})"
            self.notes = (f"{why}: `sc` instead of `{settings.rule}`",)
            settings = dataclasses.replace(settings, rule="sc")
        if settings.stop_at is not None:
            require_stoppable(settings.rule)
        self.ranker, self.settings = ranker, settings

    def decide(self, problem: Problem, chains: Sequence[Chain]) -> Solution | None:
        """Return the solution, or None if more chains are needed.

        Args:
            problem: The problem.
            chains: All of its chains so far, graded, and scored by the ranker if there is one.
        """
        settings, rule = self.settings, applicable_rule(chains, self.settings.rule)
        with name_problem_in_errors(problem.question):
            sure = None if settings.stop_at is None else confidence(chains, rule)
            if len(chains) < settings.samples and (sure is None or sure < (settings.stop_at or 1.0)):
                return None
            return Solution(problem, vote(chains, rule), tuple(chains), self.notes, sure, self.refused)


class Solver:
    """Solves problems with an engine, a checker and optionally a ranker."""

    def __init__(
        self,
        sampler: Sampler,
        sampling: Sampling,
        ranker: Ranker | None,
        checker: Checker,
        settings: VoteSettings,
        *,
        seed: str,
    ) -> None:
        """Create a solver; for its rule see Election.

        Raises:
            UsageError: Early stopping is requested, but the rule does not support it.
        """
        self.election = Election(ranker, settings)
        self.sampler, self.sampling, self.checker, self.seed = sampler, sampling, checker, seed
        self.ranker, self.settings, self.notes = self.election.ranker, self.election.settings, self.election.notes

    def solve(
        self,
        problems: Sequence[Problem],
        on_chain: ChainCallback | None = None,
        on_tokens: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Solution]:
        """Solve problems together: each wave of all problems is one call of the engine.

        Args:
            problems: The problems.
            on_chain: See ChainCallback. With a callback, each chain is scored separately as it arrives.
            on_tokens: See Sampler.sample.

        Yields:
            The solutions, as problems finish.
        """
        chains: dict[str, list[Chain]] = {problem.id: [] for problem in problems}
        waiting = {problem.id: problem for problem in problems}
        for wave in self.settings.waves():
            tasks = [Task(problem.id, problem.question, wave) for problem in waiting.values()]
            for chain in self.sampler.sample(tasks, self.sampling, seed=self.seed, on_tokens=on_tokens):
                problem, own = waiting[chain.problem_id], [*chains[chain.problem_id], chain]
                complete = len(own) == wave[-1] + 1
                # Until the wave is complete, do not wait for the subprocess that compares difficult answers.
                own.sort(key=lambda item: item.index)
                own = grade_chains(own, problem.answer, self.checker, wait=complete)
                chains[problem.id] = own = self._scored(problem, own) if complete or on_chain is not None else own
                if on_chain is not None:
                    on_chain(problem, own)
                solution = self.election.decide(problem, own) if complete else None
                if solution is not None:
                    del waiting[problem.id]
                    yield solution
            if not waiting:
                return

    def _scored(self, problem: Problem, chains: list[Chain]) -> list[Chain]:
        """Return the chains with the ranker's scores; existing scores are kept."""
        unscored = [chain for chain in chains if chain.weight is None]
        if self.ranker is None or not unscored:
            return chains
        scores = dict(zip([c.index for c in unscored], self.ranker.score(problem, unscored), strict=True))
        return [chain.scored(scores[chain.index]) if chain.index in scores else chain for chain in chains]
