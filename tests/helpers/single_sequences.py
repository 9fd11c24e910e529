"""Training examples, and the logits of each one run by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nsad_cli.models.packing import ATTENTION, Example

if TYPE_CHECKING:
    from nsad_cli.models.nat.adapters import Adapters

EXAMPLES = [
    Example((1, 5, 9), (7, 8, 2)),
    Example((1, 5, 9), (11, 2), wrong=True),
    Example((1, 5, 9), (12, 13, 14, 15, 2)),
    Example((1, 30), (2,)),
    Example((1, 31, 32, 33, 34, 35), (40, 41, 2)),
]


def alone(adapters: Adapters, name: str, example: Example) -> Tensor:
    """Logits that predict a completion, from the model run on this sequence alone with its own attention."""
    ids = torch.tensor([example.prompt + example.completion])
    adapters.base.set_attn_implementation("sdpa")
    with adapters.use(name):
        logits: Tensor = adapters.model(input_ids=ids, use_cache=False).logits[0]
    adapters.base.set_attn_implementation(ATTENTION)
    return logits[len(example.prompt) - 1 : -1]
