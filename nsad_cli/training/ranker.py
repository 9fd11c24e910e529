"""The ranker's objective: right and wrong chains of one problem, in pairs.

Deviations from the paper: human solutions do not join the right chains; where the student's own chains give too few
pairs, the teacher's join them; the default ranker is no flan-t5 encoder (see nsad_cli/rankers).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nsad_cli.models.packing import Example, group_by_tokens
from nsad_cli.training.losses import bradley_terry_loss, pair_cross_entropy, pairwise_power_loss
from nsad_cli.training.trainer import BatchLoss, Objective

if TYPE_CHECKING:
    from nsad_cli.rankers.base import Scorer
    from nsad_cli.training.data import Tokenised
    from nsad_cli.types import Problem

Encode = Callable[[str, str], Example]
"""(question, chain) → token ids, as a model reads them."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A right chain and a wrong one of the same problem."""

    right: Example
    wrong: Example

    def __len__(self) -> int:
        return len(self.right) + len(self.wrong)

    @property
    def prompt(self) -> tuple[int, ...]:
        """The problem's part of the right chain's tokens."""
        return self.right.prompt

    def sides(self) -> tuple[Example, Example]:
        """The right chain, then the wrong one."""
        return self.right, self.wrong


@dataclass(frozen=True, slots=True)
class Candidates:
    """A problem with texts known to be right and texts known to be wrong."""

    problem: Problem
    right: tuple[str, ...]
    wrong: tuple[str, ...]


def encode_for(student: Tokenised) -> Encode:
    """A student's own tokens of a question and a chain, closed by EOS."""
    return lambda question, text: Example(tuple(student.prompt_ids(question)), tuple(student.completion_ids(text)))


def make_pairs(
    candidates: Iterable[Candidates], encode: Encode, *, per_problem: int, max_chars: int, seed: int
) -> list[Pair]:
    """Pair right and wrong texts of each problem, at most `per_problem` pairs drawn by seed from each."""
    pairs: list[Pair] = []
    for item in candidates:
        question = item.problem.question
        room = max_chars - len(question)
        right = sorted({text for text in item.right if len(text) < room})
        wrong = sorted({text for text in item.wrong if len(text) < room})
        both = list(itertools.product(right, wrong))
        random.Random(f"pairs:{seed}:{item.problem.id}").shuffle(both)
        pairs += [Pair(encode(question, good), encode(question, bad)) for good, bad in both[:per_problem]]
    return pairs


def pair_losses(objective: str, right: Tensor, wrong: Tensor) -> Tensor:
    """The objective of each pair, from the logits of its right and its wrong chain; [P], [P] → [P]."""
    if objective == "power":
        return pairwise_power_loss(torch.sigmoid(right), torch.sigmoid(wrong))
    return (bradley_terry_loss if objective == "bradley-terry" else pair_cross_entropy)(right, wrong)


class RankerObjective(Objective[Pair]):
    """Σ of an objective over pairs; trains what the scorer has to train."""

    def __init__(self, scorer: Scorer, objective: str) -> None:
        super().__init__()
        self.scorer, self.objective = scorer, objective

    def trained(self) -> dict[str, nn.Parameter]:
        """The scorer's."""
        return self.scorer.trained()

    def packs(self, examples: Sequence[Pair], budget: int) -> list[Any]:
        """Batches in which a pair's two chains follow each other."""
        return [
            self.scorer.pack([side for pair in part for side in pair.sides()])
            for part in group_by_tokens(examples, budget)
        ]

    def items(self, examples: Sequence[Pair]) -> int:
        """Pairs."""
        return len(examples)

    def loss(self, batch: Any) -> BatchLoss:
        """The summed loss, with the share of pairs ranked rightly."""
        right, wrong = self.scorer.logits(batch).view(-1, 2).unbind(1)
        total = pair_losses(self.objective, right, wrong).sum()
        return BatchLoss(total, {"pair_accuracy": torch.gt(right, wrong).float().mean().item()})
