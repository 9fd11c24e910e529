"""The ranker's objective: a loss over pairs of a right and a wrong chain of the same problem.

Deviations from the paper, unless a recipe sets them (`training.ranker.human_solutions`, `pairs`, `head`, `calibrate`):
human solutions are not added to the right chains, a problem's pairs are the same in every epoch, and the default ranker
is not a flan-t5 encoder (see nsad_cli/rankers). Fresh pairs are drawn before training, as many as there are epochs.
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
"""Tokenises a question and a chain for a ranker."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A right chain and a wrong one of the same problem."""

    right: Example
    wrong: Example

    def __len__(self) -> int:
        return len(self.right) + len(self.wrong)

    @property
    def prompt(self) -> tuple[int, ...]:
        """The prompt's tokens, as in the right chain."""
        return self.right.prompt

    def sides(self) -> tuple[Example, Example]:
        """Return (right, wrong)."""
        return self.right, self.wrong


@dataclass(frozen=True, slots=True)
class Candidates:
    """A problem with its right and its wrong texts."""

    problem: Problem
    right: tuple[str, ...]
    wrong: tuple[str, ...]


def encode_for(student: Tokenised) -> Encode:
    """Return a function that tokenises a question and a chain for a student, with EOS."""
    return lambda question, text: Example(tuple(student.prompt_ids(question)), tuple(student.completion_ids(text)))


def make_pairs(
    candidates: Iterable[Candidates],
    encode: Encode,
    *,
    per_problem: int,
    max_chars: int,
    seed: int,
    with_replacement: bool = False,
) -> list[Pair]:
    """Pair right and wrong texts of each problem.

    Args:
        candidates: The problems with their texts.
        encode: The tokenisation.
        per_problem: The maximum number of pairs of a problem, sampled by seed.
        max_chars: Texts that have this many characters or more, including the question, are excluded.
        seed: The seed.
        with_replacement: Sample exactly `per_problem` pairs of each problem that has any, if need be the same again.

    Returns:
        The pairs.
    """
    pairs: list[Pair] = []
    for item in candidates:
        question = item.problem.question
        room = max_chars - len(question)
        right = sorted({text for text in item.right if len(text) < room})
        wrong = sorted({text for text in item.wrong if len(text) < room})
        both = list(itertools.product(right, wrong))
        chance = random.Random(f"pairs:{seed}:{item.problem.id}")
        if with_replacement:
            both = chance.choices(both, k=per_problem) if both else []
        else:
            chance.shuffle(both)
        pairs += [Pair(encode(question, good), encode(question, bad)) for good, bad in both[:per_problem]]
    return pairs


def pair_losses(objective: str, right: Tensor, wrong: Tensor) -> Tensor:
    """Compute the loss of each pair from the logits of its right and wrong chains; [P], [P] → [P].

    `objective` is power, bradley-terry or bce.
    """
    if objective == "power":
        return pairwise_power_loss(torch.sigmoid(right), torch.sigmoid(wrong))
    return (bradley_terry_loss if objective == "bradley-terry" else pair_cross_entropy)(right, wrong)


class RankerObjective(Objective[Pair]):
    """The summed loss over pairs; trains the scorer's parameters."""

    def __init__(self, scorer: Scorer, objective: str) -> None:
        super().__init__()
        self.scorer, self.objective = scorer, objective

    def trained(self) -> dict[str, nn.Parameter]:
        """Return the scorer's trained parameters."""
        return self.scorer.trained()

    def packs(self, examples: Sequence[Pair], budget: int) -> list[Any]:
        """Pack pairs; the two chains of a pair are adjacent."""
        return [
            self.scorer.pack([side for pair in part for side in pair.sides()])
            for part in group_by_tokens(examples, budget)
        ]

    def items(self, examples: Sequence[Pair]) -> int:
        """Count pairs."""
        return len(examples)

    def loss(self, batch: Any) -> BatchLoss:
        """Compute the summed loss of a pack, with the fraction of pairs ranked correctly as a metric."""
        right, wrong = self.scorer.logits(batch).view(-1, 2).unbind(1)
        total = pair_losses(self.objective, right, wrong).sum()
        return BatchLoss(total, {"pair_accuracy": torch.gt(right, wrong).float().mean().item()})
