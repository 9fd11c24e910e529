"""Sampling of the next token of each row, with one random generator per row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.generation.sampler import Sampling

BLOCK = 256
"""Tokens per block of the two-level search: over the sums of blocks, then inside one block."""
CPU_ROWS = 8
"""Rows processed together on a CPU, so that intermediate results stay in its cache."""


def sample_tokens(
    logits: Tensor, randoms: Sequence[torch.Generator], sampling: Sampling
) -> tuple[list[int], list[float]]:
    """Sample a token for each of B rows [B,V], with its log-probability under the untempered distribution.

    A row's token depends only on its own logits and generator.
    """
    if logits.device.type == "mps":  # has no float64
        logits = logits.cpu()
    size = CPU_ROWS if logits.device.type == "cpu" else len(randoms)
    tokens: list[int] = []
    logprobs: list[float] = []
    for start in range(0, len(randoms), size):
        part = logits[start : start + size].float()
        draws = None
        if sampling.temperature > 0:
            draws = torch.cat([torch.rand(1, generator=g, dtype=torch.float64) for g in randoms[start : start + size]])
        chosen, logprob = _choose(part, draws, sampling)
        tokens += chosen.tolist()
        logprobs += logprob.tolist()
    return tokens, logprobs


def _choose(logits: Tensor, draws: Tensor | None, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Choose tokens and their log-probabilities [B] from logits [B,V] in float32.

    `draws` [B] are uniform random numbers in [0, 1); None is greedy.
    """
    top, best = logits.max(-1, keepdim=True)
    if draws is None:
        return best.squeeze(-1), -(logits - top).exp_().sum(-1).log()
    weights = ((logits - top) / sampling.temperature).exp_()
    total = weights.sum(-1) if sampling.temperature == 1 else (logits - top).exp_().sum(-1)
    if sampling.top_p < 1:
        weights = _nucleus(weights, sampling.top_p)
    chosen = _invert(weights, draws.to(logits.device))
    return chosen, logits.gather(-1, chosen[:, None]).squeeze(-1) - top.squeeze(-1) - total.log()


def _invert(weights: Tensor, draws: Tensor) -> Tensor:
    """Invert the cumulative weights [B,V] at the fraction `draws` [B] of their sum; never chooses a weight of 0."""
    blocks = F.pad(weights, (0, -weights.shape[-1] % BLOCK)).unflatten(-1, (-1, BLOCK))
    found, share = _search(blocks.sum(-1), draws)
    inside = blocks[torch.arange(len(draws), device=weights.device), found]
    return (found * BLOCK + _search(inside, share)[0]).clamp(max=weights.shape[-1] - 1)


def _search(weights: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Find the first index [B] where the cumulative weights [B,N] exceed a fraction of their sum.

    Also returns the remaining fraction [B] of that index's own weight.
    """
    cumulative = weights.double().cumsum(-1)
    point = shares[:, None] * cumulative[:, -1:]
    index = torch.searchsorted(cumulative, point, right=True).clamp(max=weights.shape[-1] - 1)
    own = weights.double().gather(-1, index)
    share = (point - cumulative.gather(-1, index) + own) / own
    return index.squeeze(-1), share.squeeze(-1).clamp(0, 1 - 2**-53)


def _nucleus(weights: Tensor, top_p: float) -> Tensor:
    """Zero all but the smallest set of most likely tokens whose probabilities reach top_p (Holtzman et al. 2020)."""
    probabilities = weights / weights.sum(-1, keepdim=True)
    ordered, order = probabilities.sort(-1, descending=True)
    outside = ordered.cumsum(-1) - ordered >= top_p
    return weights.masked_fill(outside.scatter(-1, order, outside), 0.0)
