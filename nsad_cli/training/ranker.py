"""The ranker's objective: right and wrong chains of one problem, in pairs, with the reference's power loss.

Deviations from the paper: a LoRA and a score head on the student's own base, not a flan-t5 encoder; human solutions do
not join the right chains; where the student's own chains give too few pairs, the teacher's join them.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from nsad_cli.losses import pairwise_power_loss
from nsad_cli.nat.adapters import Adapters
from nsad_cli.packing import Example, Pack, enable_packing, fill, pack
from nsad_cli.ranking import ADAPTER, ScoreHead, pooled_scores
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

    def sides(self) -> tuple[Example, Example]:
        """The right chain, then the wrong one."""
        return Example(self.prompt, self.right), Example(self.prompt, self.wrong, wrong=True)


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


class RankerObjective(Objective[Pair]):
    """Σ (1−s+)³ + (s−)³ over pairs; trains the ranker's LoRA and its head."""

    def __init__(self, adapters: Adapters, head: ScoreHead) -> None:
        super().__init__()
        self.adapters, self.model, self.head = adapters, adapters.model, head
        adapters.train_only(ADAPTER)
        self.share = enable_packing(adapters.base)

    def trained(self) -> dict[str, nn.Parameter]:
        """The LoRA's parameters and the head's."""
        head = {f"head.{name}": parameter for name, parameter in self.head.named_parameters()}
        return {**dict(self.adapters.parameters_of(ADAPTER)), **head}

    def packs(self, examples: Sequence[Pair], budget: int) -> list[Pack]:
        """Packs in which a pair's two chains follow each other, and share their prompt where the model can."""
        return [
            pack([side for pair in part for side in pair.sides()], share=self.share, whole=True)
            for part in fill(examples, budget)
        ]

    def items(self, examples: Sequence[Pair]) -> int:
        """Pairs."""
        return len(examples)

    def loss(self, batch: Pack) -> BatchLoss:
        """The summed loss, with the share of pairs ranked rightly."""
        right, wrong = pooled_scores(self.adapters, self.head, batch).view(-1, 2).unbind(1)
        total = pairwise_power_loss(right, wrong).sum()
        return BatchLoss(total, {"pair_accuracy": torch.gt(right, wrong).float().mean().item()})
