"""The loop over a step's packs, with doubles: packs are on the device before the first pass."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from nsad_cli.config.schema import StageConfig
from nsad_cli.errors import NsadError
from nsad_cli.runs.run import Run
from nsad_cli.training.trainer import BatchLoss, Objective, train
from tests.helpers.tiny_recipes import recipe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Counted(Objective[Any]):
    """A double that notes copies and passes in order; each example is a pack."""

    def __init__(self, broken: int | None = None) -> None:
        super().__init__()
        self.weight, self.broken = nn.Parameter(torch.ones(())), broken
        self.noted: list[str] = []

    def trained(self) -> dict[str, nn.Parameter]:
        return {"weight": self.weight}

    def packs(self, examples: Sequence[Any], budget: int) -> list[Any]:  # noqa: ARG002  # the interface
        def place(number: int) -> Any:
            self.noted.append(f"copy {number}")
            return SimpleNamespace(tokens=1, number=number)

        return [SimpleNamespace(to=lambda _, number=example[0]: place(number)) for example in examples]

    def items(self, examples: Sequence[Any]) -> int:
        return len(examples)

    def loss(self, batch: Any) -> BatchLoss:
        self.noted.append(f"pass {batch.number}")
        total: Tensor = self.weight * (float("nan") if batch.number == self.broken else 1.0)
        return BatchLoss(total, {})


def trained(objective: Counted, tiny_llama: Path) -> list[str]:
    settings = StageConfig(epochs=1, batch_size=3, learning_rate=1e-3, warmup_steps=0)
    run = Run.create("steps", recipe(tiny_llama))
    with run.lock():
        train(
            objective,
            [(1,), (2,), (3,)],
            [],
            stage="negative",
            run=run,
            settings=settings,
            seed=0,
            on_cpu=True,
            bf16=False,
        )
    return [what.partition(" ")[0] for what in objective.noted]


def test_a_steps_packs_are_copied_before_its_first_pass(tiny_llama: Path) -> None:
    assert trained(Counted(), tiny_llama) == ["copy"] * 3 + ["pass"] * 3


@pytest.mark.parametrize("broken", [1, 2, 3])
def test_a_loss_that_is_not_finite_in_any_pack_ends_the_step(tiny_llama: Path, broken: int) -> None:
    objective = Counted(broken)
    with pytest.raises(NsadError, match="not finite at step 1"):
        trained(objective, tiny_llama)
    assert objective.weight.item() == 1, "the weights are those before the step"
