"""Likelihood of completions: the objective of the negative adapter (on D−) and of NAT (on D+).

Deviation from the reference code: loss on the completion and its EOS alone, never on the prompt or padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nsad_cli.losses import token_nll
from nsad_cli.nat.adapters import Adapters
from nsad_cli.training.data import NO_TARGET, Example, collate
from nsad_cli.training.trainer import BatchLoss, Objective


class CompletionObjective(Objective):
    """−log p(completion | prompt) of one adapter, summed over completion tokens."""

    def __init__(self, adapters: Adapters, name: str, pad: int) -> None:
        super().__init__()
        self.adapters, self.name, self.pad = adapters, name, pad
        self.model = adapters.model
        adapters.train_only(name)
        adapters.record_alphas(True)

    def trained(self) -> dict[str, nn.Parameter]:
        """The adapter's own parameters."""
        return dict(self.adapters.parameters_of(self.name))

    def collate(self, examples: Sequence[Example]) -> dict[str, Any]:
        """See training.data.collate."""
        return collate(examples, self.pad)

    def items(self, batch: dict[str, Any]) -> int:
        """Completion tokens."""
        return int((batch["targets"] != NO_TARGET).sum())

    def tokens(self, batch: dict[str, Any]) -> int:
        """Prompt and completion tokens that enter the model."""
        return int(batch["attention_mask"].sum())

    def loss(self, batch: dict[str, Any]) -> BatchLoss:
        """The summed loss; for NAT with the mean gate of every layer."""
        with self.adapters.use(self.name):
            logits, targets, _ = completion_logits(self.model, batch)
        alphas = self.adapters.alphas(self.name) if self.training else {}
        return BatchLoss(token_nll(logits, targets).sum(), {"alpha": alphas} if alphas else {})


def completion_logits(model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Run a model on a collated batch: logits [N,V], targets [N] and row [N] of the N completion tokens.

    The head runs on the columns of the completions only.
    """
    targets: Tensor = batch["targets"]
    logits = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        position_ids=batch["position_ids"],
        logits_to_keep=targets.shape[1],
        use_cache=False,
    ).logits
    kept = targets != NO_TARGET
    rows = torch.arange(targets.shape[0], device=targets.device)[:, None].expand_as(targets)
    return logits[kept], targets[kept], rows[kept]
