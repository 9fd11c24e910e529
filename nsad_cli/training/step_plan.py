"""The steps of a stage: which examples each one has, as a dataset for transformers' Trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.utils.data import Dataset

from nsad_cli.training.data import batch_plan, first_batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.config.schema import StageConfig

MAX_WARMUP_STEPS = 200
"""The reference code's warm-up of the negative adapter and NAT."""


def plan_steps(
    train_set: Sequence[Any], lengths: Sequence[int], settings: StageConfig, epochs: float, seed: int
) -> list[list[int]]:
    """Plan the steps, each a list of indices into the training set.

    Args:
        train_set: The training examples.
        lengths: Their lengths in tokens.
        settings: The stage's settings; `tokens` limits the total number of tokens.
        epochs: Passes over the training set.
        seed: Determines the order of examples.

    Returns:
        The steps.
    """
    prompts = [example.prompt for example in train_set] if settings.share_prompts else None
    plan = batch_plan(len(train_set), settings.batch_size, epochs, seed, prompts)
    return plan if settings.tokens is None else first_batches(plan, lengths, settings.tokens)


def warmup_steps(settings: StageConfig, steps: int) -> int:
    """Return the steps of a stage's warm-up: the configured ones, else 10 % of its steps, at most MAX_WARMUP_STEPS."""
    return min(MAX_WARMUP_STEPS, steps // 10) if settings.warmup_steps is None else settings.warmup_steps


class PlannedSteps(Dataset[Any]):
    """The planned steps, each a list of examples, which the Trainer reads once in order."""

    def __init__(self, examples: Sequence[Any], plan: Sequence[Sequence[int]]) -> None:
        self.examples, self.plan = examples, plan

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> list[Any]:
        return [self.examples[number] for number in self.plan[index]]


def first_step(steps: list[Any]) -> Any:
    """Collate a batch of one step."""
    return steps[0]
