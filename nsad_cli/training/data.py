"""Rationales → token examples → a fixed plan of batches."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch

from nsad_cli.types import Rationale

T = TypeVar("T")
WINDOW = 16
"""Batches that are sorted by length together, so that little is padding."""
NO_TARGET = -100


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of a prompt and of the completion that is learned, its EOS included."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


class Tokenised(Protocol):
    """What data needs of a student."""

    def prompt_ids(self, question: str) -> list[int]:
        """Token ids of the prompt for a question."""

    def completion_ids(self, text: str) -> list[int]:
        """Token ids of a completion, EOS included."""


def held_out_problems(problem_ids: Iterable[str], share: float, seed: int) -> frozenset[str]:
    """Choose the training problems that only ever measure the held-out loss: the same ones in every stage.

    By hash, so that adding problems moves none; at least one where there are two or more.
    """
    ranked = sorted(set(problem_ids), key=lambda pid: hashlib.sha256(f"held-out:{seed}:{pid}".encode()).digest())
    return frozenset(ranked[: max(1, round(share * len(ranked)))]) if len(ranked) > 1 else frozenset()


def choose(items: Sequence[T], limit: int | None, seed: int) -> list[T]:
    """At most `limit` items, drawn by seed, in their own order."""
    if limit is None or len(items) <= limit:
        return list(items)
    kept = sorted(random.Random(f"choose:{seed}").sample(range(len(items)), limit))
    return [items[index] for index in kept]


def short_enough(rationales: Iterable[Rationale], max_chars: int) -> list[Rationale]:
    """Rationales whose question and text together stay under `max_chars` characters."""
    return [item for item in rationales if len(item.problem.question) + len(item.text) < max_chars]


def encode(rationales: Iterable[Rationale], student: Tokenised) -> list[Example]:
    """Tokenise rationales for a student."""
    return [
        Example(tuple(student.prompt_ids(item.problem.question)), tuple(student.completion_ids(item.text)))
        for item in rationales
    ]


def batch_plan(lengths: Sequence[int], batch_size: int, epochs: float, seed: int) -> list[int]:
    """The order in which examples are trained on: indices whose consecutive runs of `batch_size` are the batches.

    Every epoch is a new shuffle, a fractional last one the first part of its shuffle; what is left of an epoch begins
    the first batch of the next. Inside windows of 16 batches of one epoch examples are sorted by length, then the
    window's batches are shuffled. No batch holds an example twice, unless all examples together are fewer than two
    batches. The same arguments give the same plan.
    """
    random_ = random.Random(f"plan:{seed}")
    left = max(1, math.ceil(len(lengths) * epochs)) if lengths else 0
    plan: list[int] = []
    rest: list[int] = []
    while left:
        epoch = list(range(len(lengths)))
        random_.shuffle(epoch)
        epoch = epoch[:left]
        left -= len(epoch)
        if rest:
            epoch.sort(key=set(rest).__contains__)  # stable: what is carried over comes last in its new epoch
            border = batch_size - len(rest)
            rest, epoch = rest + epoch[:border], epoch[border:]
            if len(rest) < batch_size:
                continue
            plan += rest
        full = len(epoch) - len(epoch) % batch_size
        for start in range(0, full, WINDOW * batch_size):
            window = sorted(epoch[start : min(start + WINDOW * batch_size, full)], key=lambda index: lengths[index])
            batches = [window[i : i + batch_size] for i in range(0, len(window), batch_size)]
            random_.shuffle(batches)
            plan += [index for batch in batches for index in batch]
        rest = epoch[full:]
    return plan + rest


def collate(examples: Sequence[Example], pad: int) -> dict[str, Any]:
    """Pad prompts on the left and completions on the right, so that all completions start in one column.

    Returns input_ids, attention_mask, position_ids [B, P+C−1] and targets [B, C] (−100 where there is none): the
    model's last C columns predict the targets. The last target is never an input.
    """
    width = max(len(example.prompt) for example in examples)
    length = max(len(example.completion) for example in examples)
    shape = (len(examples), width + length - 1)
    inputs, mask = torch.full(shape, pad), torch.zeros(shape, dtype=torch.long)
    targets = torch.full((len(examples), length), NO_TARGET)
    for row, example in enumerate(examples):
        ids = torch.tensor(example.prompt + example.completion)
        start, end = width - len(example.prompt), width + len(example.completion) - 1
        inputs[row, start:end] = ids[:-1]
        mask[row, start:end] = 1
        targets[row, : len(example.completion)] = torch.tensor(example.completion)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return {"input_ids": inputs, "attention_mask": mask, "position_ids": positions, "targets": targets}
