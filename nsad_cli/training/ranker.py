"""The ranker's stage: right and wrong chains of one problem, in pairs, with the reference's power loss."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nsad_cli.losses import pairwise_power_loss
from nsad_cli.nat.adapters import Adapters
from nsad_cli.ranking import ADAPTER, ScoreHead, pooled_scores, ranker_batch
from nsad_cli.training.data import Tokenised
from nsad_cli.training.trainer import BatchLoss, Objective
from nsad_cli.types import Problem


@dataclass(frozen=True, slots=True)
class Pair:
    """Token ids of a prompt, a right chain and a wrong one."""

    prompt: tuple[int, ...]
    right: tuple[int, ...]
    wrong: tuple[int, ...]

    def __len__(self) -> int:
        return 2 * len(self.prompt) + len(self.right) + len(self.wrong)


@dataclass(frozen=True, slots=True)
class Candidates:
    """A problem with texts known to be right and texts known to be wrong."""

    problem: Problem
    right: tuple[str, ...]
    wrong: tuple[str, ...]


def make_pairs(
    candidates: Iterable[Candidates], student: Tokenised, *, per_problem: int, max_chars: int, seed: int
) -> list[Pair]:
    """Pair right and wrong texts of each problem, at most `per_problem` pairs drawn by seed from each."""
    pairs: list[Pair] = []
    for item in candidates:
        room = max_chars - len(item.problem.question)
        right = sorted({text for text in item.right if len(text) < room})
        wrong = sorted({text for text in item.wrong if len(text) < room})
        both = list(itertools.product(right, wrong))
        random.Random(f"pairs:{seed}:{item.problem.id}").shuffle(both)
        prompt = tuple(student.prompt_ids(item.problem.question))
        pairs += [
            Pair(prompt, tuple(student.completion_ids(good)), tuple(student.completion_ids(bad)))
            for good, bad in both[:per_problem]
        ]
    return pairs


class RankerObjective(Objective):
    """Σ (1−s+)³ + (s−)³ over pairs; trains the ranker's LoRA and its head."""

    def __init__(self, adapters: Adapters, head: ScoreHead, pad: int) -> None:
        super().__init__()
        self.adapters, self.pad = adapters, pad
        self.model, self.head = adapters.model, head
        adapters.train_only(ADAPTER)

    def trained(self) -> dict[str, nn.Parameter]:
        """The LoRA's parameters and the head's."""
        head = {f"head.{name}": parameter for name, parameter in self.head.named_parameters()}
        return {**dict(self.adapters.parameters_of(ADAPTER)), **head}

    def collate(self, examples: Sequence[Pair]) -> dict[str, Any]:
        """Right chains in the first half of the rows, wrong ones in the second."""
        rows = [(pair.prompt, pair.right) for pair in examples] + [(pair.prompt, pair.wrong) for pair in examples]
        return ranker_batch(rows, self.pad)

    def items(self, batch: dict[str, Any]) -> int:
        """Pairs."""
        return int(batch["input_ids"].shape[0] // 2)

    def tokens(self, batch: dict[str, Any]) -> int:
        """Tokens that enter the model."""
        return int(batch["attention_mask"].sum())

    def loss(self, batch: dict[str, Any]) -> BatchLoss:
        """The summed loss, with the share of pairs ranked rightly."""
        right, wrong = pooled_scores(self.adapters, self.head, batch).chunk(2)
        total = pairwise_power_loss(right, wrong).sum()
        return BatchLoss(total, {"pair_accuracy": torch.gt(right, wrong).float().mean().item()})
