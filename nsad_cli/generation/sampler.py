"""What every engine takes and gives."""

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
    """How tokens are drawn; temperature 0 is greedy."""

    temperature: float = 0.7
    top_p: float = 1.0
    max_new_tokens: int = 256

    @classmethod
    def of(cls, config: SamplingConfig) -> Sampling:
        """As a recipe's sampling section says."""
        return cls(config.temperature, config.top_p, config.max_new_tokens)


GREEDY_INDEX = -1
"""The index under which a problem's greedy chain is kept, so that it never collides with a sampled one."""


@dataclass(frozen=True, slots=True)
class Task:
    """The chains wanted for one problem."""

    problem_id: str
    question: str
    indices: tuple[int, ...]
    kept: bool = False
    """Its chains are kept already: it only holds its place in the plan of batches, so that the others' batches, and
    with them the rounding of their arithmetic, are the same in a resumed run."""


class Sampler(Protocol):
    """An engine that samples chains."""

    plans_batches: bool
    """Whether a chain's batch, planned from all tasks, shapes the rounding of its arithmetic: a task that is kept in
    part is then sampled as a whole, so that batches stay as they were. Else only what is missing need be asked for."""

    def sample(
        self,
        tasks: Sequence[Task],
        sampling: Sampling,
        *,
        seed: str,
        on_tokens: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Chain]:
        """Yield chains as they finish, without answers; on_tokens gets the number of new tokens of every step.

        Chains of a kept task may come too, where its batch is sampled again for the sake of another one.

        A chain follows from (seed, problem, index) and the engine, whatever else is asked for beside it, up to the
        rounding of batched arithmetic.
        """


def require_context(student: Student, longest: Sequence[int]) -> None:
    """Raise NsadError where the longest prompt leaves no room for an answer in the student's context."""
    room, shown = student.context, len(student.demonstrations)
    if room is not None and len(longest) >= room:
        raise NsadError(
            f"a prompt of {len(longest)} tokens does not fit into `{student.spec}`",
            f"its context has {room} tokens, and the answer needs some of them",
            f"show it fewer or shorter demonstrations than these {shown} (teacher.demonstrations for a teacher,"
            " evaluation.demonstrations for few-shot)"
            if shown
            else "leave that problem out, or use a model with a longer context",
        )
