"""Likelihood of right rationales, with higher weights for tokens at which the positive and negative adapters differ.

A token that the adapter of D+ finds likelier than that of D− decides between right and wrong. If the negative adapter
is replaced by the positive one, every weight is 1, and the objective is the plain likelihood: cot-kd with as many
tokens in total is the control without negatives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nsad_cli.models.packing import Pack, hidden_states
from nsad_cli.training.likelihood import CompletionObjective
from nsad_cli.training.losses import critical_token_weights, token_nll
from nsad_cli.training.trainer import BatchLoss

if TYPE_CHECKING:
    from torch import Tensor

    from nsad_cli.config.schema import StageConfig
    from nsad_cli.config.stages import Stage
    from nsad_cli.inference.session import Session
    from nsad_cli.models.nat.adapters import Adapters


class CriticalTokensObjective(CompletionObjective):
    """−log p(completion | prompt), summed over completion tokens with the weights of critical_token_weights.

    Args:
        adapters: The student's adapters.
        name: The trained adapter.
        right: The frozen adapter of D+.
        wrong: The frozen adapter of D−.
        share: Whether sequences with the same prompt share it in a pack.
    """

    def __init__(self, adapters: Adapters, name: str, right: str, wrong: str, *, share: bool = False) -> None:
        super().__init__(adapters, name, share=share)
        self.right, self.wrong = right, wrong

    def loss(self, batch: Pack) -> BatchLoss:
        """Compute the summed loss of a pack."""
        right, wrong = (self.frozen_states(name, batch) for name in (self.right, self.wrong))
        with self.adapters.use(self.name):
            hidden = hidden_states(self.adapters.base, batch)

        def losses(logits: Tensor, part: slice) -> list[Tensor]:
            targets = batch.targets[part]
            with torch.no_grad():
                frozen = [token_nll(self.head(states[part]), targets) for states in (right, wrong)]
            return [token_nll(logits, targets), *frozen]

        nll, right_nll, wrong_nll = self.token_losses(hidden, batch, losses)
        weights = critical_token_weights(right_nll.detach(), wrong_nll.detach(), batch.rows)
        return BatchLoss((weights * nll).sum(), {"weight_spread": weights.std().item()} if len(weights) > 1 else {})


def build(session: Session, stage: Stage, settings: StageConfig) -> CriticalTokensObjective:
    """Build the objective with the weights of the two adapters that the stage requires."""
    right, wrong = stage.requires
    return CriticalTokensObjective(session.adapters, stage.name, right, wrong, share=settings.share_prompts)
