"""Answers questions by votes of chains from a shared engine; the asynchronous counterpart of inference.solver."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.errors import UsageError
from nsad_cli.generation.live_requests import LiveRequest
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.inference.solver import Election, Solution, VoteSettings
from nsad_cli.types import Problem, problem_id
from nsad_cli.voting.rules import applicable_rule, vote

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from nsad_cli.inference.solver import Ranker
    from nsad_cli.models.student import Student
    from nsad_cli.serving.engines import LiveEngine
    from nsad_cli.serving.graders import Graders
    from nsad_cli.types import Chain


MAX_TOKEN_CHARS = 32
"""Longer questions than this many characters a token are refused before they are tokenised."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question with its settings.

    Attributes:
        question: The question.
        votes: The number of chains, the rule and early stopping.
        sampling: The sampling parameters.
        seed: The seed.
        progress: Whether the state of the vote is wanted after each chain.
    """

    question: str
    votes: VoteSettings
    sampling: Sampling
    seed: str
    progress: bool = False


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
        graders: Compare answers.
        max_prompt_tokens: The longest prompt: a batch has as many columns as its longest row.
        on_chain: Called with the tokens of each chain as it arrives.
    """

    def __init__(
        self,
        student: Student,
        engine: LiveEngine,
        ranker: Ranker | None,
        graders: Graders,
        max_prompt_tokens: int,
        on_chain: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.student, self.engine, self.ranker, self.graders = student, engine, ranker, graders
        self.max_prompt_tokens, self.on_chain = max_prompt_tokens, on_chain
        self._numbers = itertools.count()

    async def solve(self, ask: Ask) -> AsyncGenerator[Progress | Answer]:
        """Yield the state of the vote after each chain, if it is wanted, then the answer.

        Closing the generator cancels the chains that are missing.

        Args:
            ask: The question.

        Raises:
            UsageError: The rule does not support early stopping, or the prompt is too long.
            NsadError: The engine failed.
        """
        election = Election(self.ranker, ask.votes)
        prompt = self._prompt(ask.question)
        problem = Problem(f"request-{next(self._numbers)}", ask.question, "", "request")
        chains: list[Chain] = []
        for wave in election.settings.waves():
            task = Task(problem.id, ask.question, wave, seeded_by=problem_id(ask.question))
            request = LiveRequest(task, prompt, ask.sampling, ask.seed)
            async with contextlib.aclosing(self.engine.sample(problem, request)) as arriving:
                async for chain in arriving:
                    self.on_chain(self._tokens(chain))
                    # A refused ranker has no say; it scores nevertheless, which empties its cache.
                    chains = [*chains, chain if election.refused is None else chain.scored(None)]
                    complete = len(chains) == wave[-1] + 1
                    if complete or ask.progress:
                        chains = await self.graders.grade(chains, wait=complete)
                    if not complete and ask.progress:
                        ballot = vote(chains, applicable_rule(chains, election.settings.rule))
                        yield Progress(len(chains), ballot.answer, ballot.share)
            solution = election.decide(problem, chains)
            if solution is not None:
                yield Answer(solution, len(prompt), sum(map(self._tokens, chains)))
                return

    def _prompt(self, question: str) -> list[int]:
        """Return the prompt's token ids.

        Raises:
            UsageError: It is too long.
        """
        context = self.student.context
        limit = self.max_prompt_tokens if context is None else min(self.max_prompt_tokens, context - 1)
        prompt = [] if len(question) > MAX_TOKEN_CHARS * limit else self.student.prompt_ids(question)
        if prompt and len(prompt) <= limit:
            return prompt
        what = f"its prompt has more than {limit} tokens"
        raise UsageError("the question is too long", what, "shorten it (nsad serve --max-prompt-tokens sets the limit)")

    def _tokens(self, chain: Chain) -> int:
        return len(chain.logprobs) or len(self.student.completion_ids(chain.text))

    async def close(self) -> None:
        """Free the engine and the graders; no question is being solved."""
        await self.engine.close()
        self.graders.close()


def best_chain(solution: Solution) -> Chain | None:
    """Return the chain of the winning answer with the ranker's largest weight; without an answer, of all chains.

    Of equal weights, or without a ranker, the likelier chain is taken, then the first.
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
