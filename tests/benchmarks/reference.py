"""A literal port of the reference code's loops, as its authors publish them: what ours is measured against.

Float32; every sequence padded to the data set's longest; logits and losses of all tokens, prompts and padding included;
the integration unit by its equations, K and V sized for grouped queries (the original cannot run there); NCE with two
copies of the base and full logits of three models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.nat.config import AdapterSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.models.packing import Example

PAPER = AdapterSettings(targets=("q_proj", "v_proj"), r=8, alpha=16, dropout=0.05)


def padded(examples: Sequence[Example], longest: int, pad: int) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask [B, longest], padded on the right."""
    ids = torch.full((len(examples), longest), pad)
    mask = torch.zeros_like(ids)
    for row, example in enumerate(examples):
        ids[row, : len(example)] = torch.tensor(example.prompt + example.completion)
        mask[row, : len(example)] = 1
    return ids, mask


def likelihood_step(adapters: Adapters, name: str, ids: Tensor, mask: Tensor) -> Tensor:
    """Forward and backward of the mean loss over all tokens."""
    with adapters.use(name):
        logits = adapters.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    loss = F.cross_entropy(logits[:, :-1].float().flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    return loss.detach()


def nce_step(student: Adapters, teachers: Adapters, ids: Tensor, mask: Tensor, lam: float = 0.5) -> Tensor:
    """Forward and backward of NCE's loss over all tokens, with full logits of student, NAT and negative adapter."""

    def logits(adapters: Adapters, name: str) -> Tensor:
        with adapters.use(name):
            out: Tensor = adapters.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return out[:, :-1].float()

    own = logits(student, "nce")
    with torch.no_grad():
        nat, negative = logits(teachers, "nat"), logits(teachers, "negative")
        p_nat, p_negative = nat.softmax(-1), negative.softmax(-1)
        kl = (p_negative * (p_negative / p_nat.clamp(min=1e-12)).clamp(min=1e-12).log()).sum(-1).mean(-1)
        beta = torch.tanh(kl)[:, None]
    ce = F.cross_entropy(own.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(own.shape[:2])
    distillation = -(p_nat * own.log_softmax(-1)).sum(-1)
    loss = ((1 - lam) * ce + lam * (0.5 + beta) * distillation).mean()
    loss.backward()
    return loss.detach()


def trio(model: Any, names: Sequence[str] = ("negative", "nat", "nce")) -> Adapters:
    """A base with the adapters that are asked for, their weights random: what they are does not change the time."""
    adapters = Adapters(model)
    for seed, name in enumerate(names):
        if name == "nat":
            adapters.add_nat(name, PAPER, "negative", seed)
        else:
            adapters.add_lora(name, PAPER, seed)
    torch.manual_seed(0)
    for name in names:
        for _, parameter in adapters.parameters_of(name):
            torch.nn.init.normal_(parameter, std=0.02)
    return adapters
