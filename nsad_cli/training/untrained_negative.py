"""Negative adapters that are not trained, as controls: random weights, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nsad_cli.models.nat.layer import weight_of
from nsad_cli.training.trainer import TrainResult
from nsad_cli.utils.distributed import world_size

if TYPE_CHECKING:
    from nsad_cli.inference.session import Session

RANDOM_SIZE = 0.02
"""‖s·B·A‖ over ‖W‖ (Frobenius norms) of a random adapter in each layer: about that of a trained one."""


@torch.no_grad()
def set_untrained(session: Session, name: str) -> TrainResult:
    """Set the weights of a new LoRA by training.negative.source: `random`, or zero for `none`.

    Args:
        session: The run's models, with the adapter in memory.
        name: The adapter.

    Returns:
        A result of zero steps.
    """
    recipe = session.recipe
    random = torch.Generator().manual_seed(recipe.seed)
    for _, layer in session.adapters.layers:
        if name not in layer.lora_A:
            continue
        a, b = weight_of(layer.lora_A, name), weight_of(layer.lora_B, name)
        b.zero_()
        if recipe.training.negative.source == "random":
            b.copy_(torch.randn(b.shape, generator=random))
            size = layer.scaling[name] * torch.linalg.matrix_norm(b.float() @ a.float())
            b.mul_(RANDOM_SIZE * torch.linalg.matrix_norm(layer.get_base_layer().weight.float()) / size)
    return TrainResult(0, world_size(), 0, 0, None, 0, 0.0)
