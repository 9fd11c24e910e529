"""NCE: a fresh LoRA student learns from correct rationales, with NAT as a calibrated teacher.

Student, NAT and negative adapter take turns on one copy of the base; the two teachers run without dropout.
"""

from __future__ import annotations

from typing import Any

import torch

from nsad_cli.losses import calibration, nce_loss, token_cross_entropy, token_kl, token_nll
from nsad_cli.nat.adapters import Adapters
from nsad_cli.training.completion import CompletionObjective, completion_logits
from nsad_cli.training.trainer import BatchLoss

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class NceObjective(CompletionObjective):
    """(1−λ)·CE + λ·(1/2 + β)·H(p_NAT, p_student), summed over completion tokens."""

    def __init__(self, adapters: Adapters, pad: int, *, lam: float, beta: str) -> None:
        super().__init__(adapters, "nce", pad)
        self.lam, self.beta = lam, beta

    def loss(self, batch: dict[str, Any]) -> BatchLoss:
        """The summed loss, with its parts' means and the quantiles of β."""
        with self.adapters.use("nce"):
            student, targets, rows = completion_logits(self.model, batch)
        nll = token_nll(student, targets)
        if self.lam == 0:
            return BatchLoss(nll.sum(), {})
        nat, negative = self._teachers(batch)
        beta = calibration(token_kl(negative, nat), rows, self.beta)
        distillation = token_cross_entropy(nat, student)
        quantiles = torch.quantile(beta, beta.new_tensor(QUANTILES))
        metrics = {
            "cross_entropy": nll.detach().mean().item(),
            "distillation": distillation.detach().mean().item(),
            "beta": {
                f"q{int(100 * q):02d}": round(value, 4) for q, value in zip(QUANTILES, quantiles.tolist(), strict=True)
            },
        }
        return BatchLoss(nce_loss(nll, distillation, beta, self.lam).sum(), metrics)

    @torch.no_grad()
    def _teachers(self, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        was_training = self.model.training
        self.model.eval()
        with self.adapters.use("nat"):
            nat, _, _ = completion_logits(self.model, batch)
        with self.adapters.use("negative"):
            negative, _, _ = completion_logits(self.model, batch)
        self.model.train(was_training)
        return nat, negative
