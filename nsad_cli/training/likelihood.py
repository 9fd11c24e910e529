"""Likelihood of completions: the objective of the negative adapter (on D−) and of NAT (on D+).

Deviations from the reference code: the loss covers only the completion and its EOS, not the prompt; no padding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from nsad_cli.errors import NsadError
from nsad_cli.models.lm_head import RowLosses, row_losses, vocabulary_head
from nsad_cli.models.nat.layer import NatLinear
from nsad_cli.models.nat.negative_effect import negative_effect
from nsad_cli.models.packing import Example, Pack, enable_packing, group_by_tokens, hidden_states, pack
from nsad_cli.training.losses import token_nll
from nsad_cli.training.trainer import BatchLoss, Objective

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from nsad_cli.config.schema import StageConfig
    from nsad_cli.config.stages import Stage
    from nsad_cli.inference.session import Session
    from nsad_cli.models.nat.adapters import Adapters


class CompletionObjective(Objective[Example]):
    """−log p(completion | prompt) of one adapter, summed over completion tokens."""

    def __init__(self, adapters: Adapters, name: str, *, share: bool = False) -> None:
        super().__init__()
        self.adapters, self.name = adapters, name
        self.share = enable_packing(adapters.base) and share
        self.model = adapters.model
        adapters.train_only(name)
        adapters.layers.record_alphas(True)
        require_plain_head(adapters, name)
        self.head = vocabulary_head(adapters.base)

    def trained(self) -> dict[str, nn.Parameter]:
        """Return the adapter's parameters."""
        return dict(self.adapters.parameters_of(self.name))

    def packs(self, examples: Sequence[Example], budget: int) -> list[Pack]:
        """Pack examples into packs of at most `budget` tokens."""
        return [pack(part, share=self.share) for part in group_by_tokens(examples, budget)]

    def items(self, examples: Sequence[Example]) -> int:
        """Count completion tokens."""
        return sum(len(example.completion) for example in examples)

    def loss(self, batch: Pack) -> BatchLoss:
        """Compute the summed loss of a pack; for NAT, the metrics include the mean gate α of every layer."""
        with self.adapters.use(self.name):
            hidden = hidden_states(self.adapters.base, batch)
        (nll,) = self.token_losses(hidden, batch, lambda logits, part: [token_nll(logits, batch.targets[part])])
        alphas = self.adapters.layers.alphas(self.name) if self.training else {}
        return BatchLoss(nll.sum(), {"alpha": alphas} if alphas else {})

    def check(self, packs: Sequence[Pack]) -> dict[str, Any]:
        """Measure the effect of NAT's negative branch; nothing for other adapters."""
        effect = negative_effect(self.adapters, self.name, self.head, packs)
        return {} if effect is None else {"negative_effect": {"kl": effect.kl, "share": effect.share}}

    @torch.no_grad()
    def frozen_states(self, name: str, batch: Pack) -> Tensor:
        """Compute a frozen adapter's hidden states [N,d], without dropout, that predict the completion tokens."""
        was_training = self.model.training
        self.model.eval()
        with self.adapters.use(name):
            hidden = hidden_states(self.adapters.base, batch)
        self.model.train(was_training)
        return hidden[batch.before]

    def token_losses(self, hidden: Tensor, batch: Pack, losses: RowLosses) -> list[Tensor]:
        """Compute losses of the completion tokens [N] from hidden states [T,d], without materialising all logits."""
        return row_losses(self.head, hidden[batch.before], losses)


def require_plain_head(adapters: Adapters, name: str) -> None:
    """Check that the vocabulary head has no adapter.

    Raises:
        NsadError: It has one.
    """
    if isinstance(adapters.base.get_output_embeddings(), NatLinear):
        raise NsadError(
            f"{name}: the LM head cannot be adapted",
            "adapter.targets includes it, but the loss applies it separately from the layers",
            "remove it from adapter.targets",
        )


def build(session: Session, stage: Stage, settings: StageConfig) -> CompletionObjective:
    """Build the objective of a stage that maximises the likelihood of completions."""
    return CompletionObjective(session.adapters, stage.name, share=settings.share_prompts)
