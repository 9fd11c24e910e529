"""Answers questions by votes of chains from a shared engine; the asynchronous counterpart of inference.solver."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from nsad_cli.generation.live_requests import LiveRequest
from nsad_cli.generation.sampler import Sampling, Task, require_context
from nsad_cli.grading.chains import grade_chains
from nsad_cli.inference.solver import Election, Solution, VoteSettings
from nsad_cli.types import Problem, problem_id
from nsad_cli.voting.rules import applicable_rule, vote

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from nsad_cli.grading.checker import Checker
    from nsad_cli.inference.solver import Ranker
    from nsad_cli.models.student import Student
    from nsad_cli.serving.engines import LiveEngine
    from nsad_cli.types import Chain


@dataclass(frozen=True, slots=True)
class Ask:
    """A question with its settings.

    Attributes:
        question: The question.
        votes: The number of chains, the rule and early stopping.
        sampling: The sampling parameters.
        seed: The seed.
    """

    question: str
    votes: VoteSettings
    sampling: Sampling
    seed: str


@dataclass(frozen=True, slots=True)
class Progress:
    """A vote in progress: the number of chains, and the leading answer with its share of the weight."""

    chains: int
    answer: str | None
    share: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A solution, and the tokens that it took.

    Attributes:
        solution: The solution.
        prompt_tokens: The tokens of the prompt, which is processed once for all chains.
        completion_tokens: The tokens of all chains; those of an engine without log-probabilities are counted by the
            student's tokenizer.
    """

    solution: Solution
    prompt_tokens: int
    completion_tokens: int


class LiveSolver:
    """Solves questions concurrently; all share the engine's batch.

    Args:
        student: The student's tokenizer and prompt.
        engine: The engine.
        ranker: The run's ranker.
        checker: Compares answers, in a thread of the solver.
        on_chain: Called with the tokens of each chain as it arrives.
    """

    def __init__(
        self,
        student: Student,
        engine: LiveEngine,
        ranker: Ranker | None,
        checker: Checker,
        on_chain: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.student, self.engine, self.ranker, self.checker, self.on_chain = student, engine, ranker, checker, on_chain
        self._grading = ThreadPoolExecutor(1, "grading")
        self._numbers = itertools.count()

    async def solve(self, ask: Ask) -> AsyncGenerator[Progress | Answer]:
        """Yield the state of the vote after each chain, then the answer; closing the generator cancels the rest.

        Args:
            ask: The question.

        Raises:
            UsageError: The rule does not support early stopping.
            NsadError: The prompt does not fit into the student's context, or the engine failed.
        """
        election = Election(self.ranker, ask.votes)
        prompt = self.student.prompt_ids(ask.question)
        require_context(self.student, prompt)
        problem = Problem(f"request-{next(self._numbers)}", ask.question, "", "request")
        chains: list[Chain] = []
        for wave in election.settings.waves():
            task = Task(problem.id, ask.question, wave, seeded_by=problem_id(ask.question))
            request = LiveRequest(task, prompt, ask.sampling, ask.seed)
            async with contextlib.aclosing(self.engine.sample(problem, request)) as arriving:
                async for chain in arriving:
                    self.on_chain(self._tokens(chain))
                    complete = len(chains) == wave[-1]
                    chains = await self._graded([*chains, chain], wait=complete)
                    if not complete:
                        ballot = vote(chains, applicable_rule(chains, election.settings.rule))
                        yield Progress(len(chains), ballot.answer, ballot.share)
            solution = election.decide(problem, chains)
            if solution is not None:
                yield Answer(solution, len(prompt), sum(map(self._tokens, chains)))
                return

    async def _graded(self, chains: Sequence[Chain], *, wait: bool) -> list[Chain]:
        """Return chains in order of index with their answers; comparisons that take long are waited for if `wait`."""
        ordered = sorted(chains, key=lambda chain: chain.index)
        grade = partial(grade_chains, ordered, "", self.checker, wait=wait)
        return await asyncio.get_running_loop().run_in_executor(self._grading, grade)

    def _tokens(self, chain: Chain) -> int:
        return len(chain.logprobs) or len(self.student.completion_ids(chain.text))

    async def close(self) -> None:
        """Free the engine and the thread; no question is being solved."""
        await self.engine.close()
        self._grading.shutdown(wait=False)


def best_chain(solution: Solution) -> Chain | None:
    """Return the chain with the largest weight of the winning answer; without an answer, of all chains.

    Weights are those of the rule; of equal ones the likelier chain wins, then the first.
    """
    ballot = solution.ballot
    winners = ballot.votes[0].chains if ballot.votes else tuple(chain.index for chain in solution.chains)
    candidates = [chain for chain in solution.chains if chain.index in winners]
    return max(candidates, key=_rank, default=None)


def _rank(chain: Chain) -> tuple[float, float, int]:
    unknown = float("-inf")
    return (
        unknown if chain.weight is None else chain.weight,
        unknown if chain.logprob is None else chain.logprob,
        -chain.index,
    )


def with_votes(settings: VoteSettings, **changes: object) -> VoteSettings:
    """Return settings with the values given in their place; None changes nothing."""
    return dataclasses.replace(settings, **{key: value for key, value in changes.items() if value is not None})  # type: ignore[arg-type]
