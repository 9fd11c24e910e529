"""Losses over the vocabulary, computed in chunks so that the logits of all tokens never exist at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from nsad_cli.errors import NsadError
from nsad_cli.models.packing import decoder

CHUNK_TOKENS = 128
"""Tokens whose logits exist at once."""
RowLosses = Callable[[Tensor, slice], Sequence[Tensor]]
"""Maps logits [n, V] of the tokens in a slice, and the slice, to losses of [n] each.

A token's loss may depend on its own row only.
"""


def vocabulary_head(model: Any) -> Callable[[Tensor], Tensor]:
    """Make a function from last hidden states [n, d] to logits [n, V], with the model's own scaling and soft cap.

    Raises:
        NsadError: On a short input the function does not reproduce the model's logits.
    """
    config = model.config.get_text_config()
    linear = model.get_output_embeddings()
    scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
    cap = getattr(config, "final_logit_softcapping", None)

    def head(hidden: Tensor) -> Tensor:
        logits: Tensor = linear(hidden)
        if scale != 1:
            logits = logits * scale
        return torch.tanh(logits / cap) * cap if cap else logits

    with torch.no_grad():
        ids = torch.tensor([[1, 0]], device=model.device)
        hidden = decoder(model)(input_ids=ids, use_cache=False).last_hidden_state
        actual, expected = head(hidden).float(), model(input_ids=ids, use_cache=False).logits.float()
    if actual.shape != expected.shape or not torch.allclose(actual, expected, rtol=1e-2, atol=1e-2):
        raise NsadError(
            f"students of the type `{config.model_type}` cannot be trained",
            "their vocabulary head computes something that is not supported",
            "use another student, or add its head to nsad_cli/models/lm_head.py",
        )
    return head


def row_losses(head: Callable[[Tensor], Tensor], hidden: Tensor, losses: RowLosses) -> list[Tensor]:
    """Compute losses of every row, chunk by chunk.

    A chunk's gradients are computed while its logits exist, so that the backward pass does not compute them again.

    Args:
        head: The function from hidden states to logits; it is frozen.
        hidden: Hidden states [N, d].
        losses: The losses of a chunk.

    Returns:
        The losses, [N] each, differentiable with respect to `hidden` only.
    """
    chunks = [slice(start, start + CHUNK_TOKENS) for start in range(0, hidden.shape[0], CHUNK_TOKENS)]
    if hidden.requires_grad:
        return list(_RowLosses.apply(hidden, head, losses, chunks))  # type: ignore[no-untyped-call]  # torch has no annotations here
    found = [losses(head(hidden[chunk]), chunk) for chunk in chunks]
    return [torch.cat(parts) for parts in zip(*found, strict=True)]


class _RowLosses(torch.autograd.Function):
    """Row losses with precomputed gradients: since rows are independent, the backward pass only scales them."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Callable[[Tensor], Tensor], losses: RowLosses, chunks: Sequence[slice]
    ) -> tuple[Tensor, ...]:
        values: list[list[Tensor]] = []
        gradients: list[Tensor | None] = []
        for chunk in chunks:
            with torch.enable_grad():
                rows = hidden[chunk].detach().requires_grad_()
                found = list(losses(head(rows), chunk))
                differentiable = [i for i, loss in enumerate(found) if loss.requires_grad]
                for i in differentiable:
                    (gradient,) = torch.autograd.grad(found[i].sum(), rows, retain_graph=i != differentiable[-1])
                    while len(gradients) <= i:
                        gradients.append(None)
                    if gradients[i] is None:
                        gradients[i] = torch.empty_like(hidden)
                    gradients[i][chunk] = gradient  # type: ignore[index]  # set in the lines above
            values.append([loss.detach() for loss in found])
        ctx.gradients = gradients
        outputs = tuple(torch.cat(parts) for parts in zip(*values, strict=True))
        ctx.mark_non_differentiable(
            *(out for i, out in enumerate(outputs) if i >= len(gradients) or gradients[i] is None)
        )
        return outputs

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Any, ...]:
        total: Tensor | None = None
        for outer, inner in zip(upstream, ctx.gradients, strict=False):
            if outer is not None and inner is not None:
                part = outer[:, None].to(inner.dtype) * inner
                total = part if total is None else total + part
        return total, None, None, None
