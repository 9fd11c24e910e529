"""Training data: selection and tokenisation of rationales, and a fixed plan of batches."""

from __future__ import annotations

import hashlib
import math
import random
from typing import TYPE_CHECKING, Protocol, TypeVar

from nsad_cli.config import prompts
from nsad_cli.models.packing import Example
from nsad_cli.types import Rationale, Verdict

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

T = TypeVar("T")


class Tokenised(Protocol):
    """The tokenisation methods of a student."""

    def prompt_ids(self, question: str) -> list[int]:
        """Return the token ids of the prompt for a question."""

    def completion_ids(self, text: str) -> list[int]:
        """Return the token ids of a completion, including EOS."""


def held_out_problems(problem_ids: Iterable[str], share: float, seed: int, salt: str = "held-out") -> frozenset[str]:
    """Choose the training problems that are held out to measure the loss, the same in every stage.

    The choice is by hash, so that added problems do not change it; at least one if there are two or more and the share
    is not 0. A different `salt` gives an independent choice.
    """
    if share == 0:
        return frozenset()
    ranked = sorted(set(problem_ids), key=lambda pid: hashlib.sha256(f"{salt}:{seed}:{pid}".encode()).digest())
    return frozenset(ranked[: max(1, round(share * len(ranked)))]) if len(ranked) > 1 else frozenset()


def sample_items(items: Sequence[T], limit: int | None, seed: int) -> list[T]:
    """Sample at most `limit` items by seed, in their original order."""
    if limit is None or len(items) <= limit:
        return list(items)
    chosen = sorted(random.Random(f"choose:{seed}").sample(range(len(items)), limit))
    return [items[index] for index in chosen]


def filter_by_length(rationales: Iterable[Rationale], max_chars: int) -> list[Rationale]:
    """Return the rationales whose question and text together have fewer than `max_chars` characters."""
    return [item for item in rationales if len(item.problem.question) + len(item.text) < max_chars]


def question_of(item: Rationale, *, labels: bool) -> str:
    """Return the question of a rationale, with its label in a stage with labels."""
    return item.problem.question + (prompts.label(right=item.verdict is Verdict.CORRECT) if labels else "")


def encode(rationales: Iterable[Rationale], student: Tokenised, *, labels: bool = False) -> list[Example]:
    """Tokenise rationales for a student, with labels in their questions if the stage has them."""
    return [
        Example(
            tuple(student.prompt_ids(question_of(item, labels=labels))),
            tuple(student.completion_ids(item.text)),
            item.verdict is Verdict.WRONG,
        )
        for item in rationales
    ]


def batch_plan(
    count: int, batch_size: int, epochs: float, seed: int, together: Sequence[Hashable] | None = None
) -> list[list[int]]:
    """Plan the batches; only the last one may be smaller.

    Every epoch is a new shuffle; a fractional last epoch is the first part of its shuffle. A batch may span two epochs.
    No batch contains an example twice, unless there are fewer examples than two batches. The same arguments give the
    same plan.

    Args:
        count: The number of examples.
        batch_size: The number of examples per batch.
        epochs: The number of passes over the examples.
        seed: The seed of the shuffles.
        together: A key for each example; examples with the same key stay adjacent.

    Returns:
        The batches in order, each a list of indices below `count`.
    """
    random_ = random.Random(f"plan:{seed}")
    remaining = max(1, math.ceil(count * epochs)) if count else 0
    batches: list[list[int]] = []
    rest: list[int] = []
    while remaining:
        epoch = _shuffled(count, together, random_)[:remaining]
        remaining -= len(epoch)
        epoch.sort(key=set(rest).__contains__)  # a stable sort: examples carried over come last in the new epoch
        order = rest + epoch
        full = len(order) - len(order) % batch_size
        batches += [order[start : start + batch_size] for start in range(0, full, batch_size)]
        rest = order[full:]
    return batches + ([rest] if rest else [])


def _shuffled(count: int, together: Sequence[Hashable] | None, random_: random.Random) -> list[int]:
    if together is None:
        order = list(range(count))
        random_.shuffle(order)
        return order
    groups: dict[Hashable, list[int]] = {}
    for index in range(count):
        groups.setdefault(together[index], []).append(index)
    shuffled = list(groups.values())
    random_.shuffle(shuffled)
    return [index for group in shuffled for index in group]


def first_batches(batches: Sequence[Sequence[int]], lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Return the first batches that have at least `tokens` tokens in total, or all batches."""
    chosen: list[list[int]] = []
    for batch in batches:
        if tokens <= 0:
            break
        chosen.append(list(batch))
        tokens -= sum(lengths[index] for index in batch)
    return chosen
