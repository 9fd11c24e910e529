"""What every engine takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from nsad_cli.types import Chain


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn; temperature 0 is greedy."""

    temperature: float = 0.7
    top_p: float = 1.0
    max_new_tokens: int = 256


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
