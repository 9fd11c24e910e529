"""The Sampler protocol and its inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nsad_cli.errors import NsadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nsad_cli.config.schema import SamplingConfig
    from nsad_cli.models.student import Student
    from nsad_cli.types import Chain


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters; temperature 0 is greedy."""

    temperature: float = 0.7
    top_p: float = 1.0
    max_new_tokens: int = 256

    @classmethod
    def of(cls, config: SamplingConfig) -> Sampling:
        """Convert the sampling section of a recipe."""
        return cls(config.temperature, config.top_p, config.max_new_tokens)


GREEDY_INDEX = -1
"""The index under which a problem's greedy chain is stored, so that it never collides with a sampled one."""


@dataclass(frozen=True, slots=True)
class Task:
    """The requested chains of one problem."""

    problem_id: str
    question: str
    indices: tuple[int, ...]
    cached: bool = False
    """Whether its chains are cached: the task then only keeps its place in the plan of batches, so that the other
    batches have the same rounding in a resumed run."""
    seeded_by: str = ""
    """The problem whose id seeds its chains, if `problem_id` is the id of a request; see seed_id."""

    @property
    def seed_id(self) -> str:
        """The id that, with the seed and the index, determines a chain."""
        return self.seeded_by or self.problem_id


class Sampler(Protocol):
    """An engine that samples chains."""

    plans_batches: bool
    """Whether batches are planned from all tasks and affect rounding: a partly cached task is then sampled completely,
    so that batches do not change. Otherwise only missing chains need to be requested."""

    def sample(
        self,
        tasks: Sequence[Task],
        sampling: Sampling,
        *,
        seed: str,
        on_tokens: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Chain]:
        """Yield chains as they finish, without answers; on_tokens gets the number of new tokens of every step.

        Chains of a cached task may be yielded too, if its batch is sampled again for another task.

        A chain is determined by (seed, problem, index) and the engine, up to the rounding of batched arithmetic; other
        tasks do not affect it.
        """


def require_context(student: Student, longest: Sequence[int]) -> None:
    """Raise NsadError if the longest prompt leaves no room for an answer in the student's context."""
    context, demonstrations = student.context, len(student.demonstrations)
    if context is not None and len(longest) >= context:
        raise NsadError(
            f"a prompt of {len(longest)} tokens does not fit into `{student.spec}`",
            f"its context has {context} tokens, and the answer needs some of them",
            f"use fewer or shorter demonstrations than these {demonstrations} (teacher.demonstrations for a teacher,"
            " evaluation.demonstrations for few-shot)"
            if demonstrations
            else "exclude that problem, or use a model with a longer context",
        )
