"""Losses of the vocabulary head in chunks: no [tokens, vocabulary] tensor larger than one chunk ever exists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from nsad_cli.errors import NsadError
from nsad_cli.models.packing import decoder

CHUNK = 128
"""Tokens whose logits exist at once."""
RowLosses = Callable[[Tensor, slice], Sequence[Tensor]]
"""(logits [n,V] of the tokens in a slice, the slice) → losses, [n] each; a token's follow from its own row alone."""


def vocabulary_head(model: Any) -> Callable[[Tensor], Tensor]:
    """The function from last hidden states [n,d] to logits [n,V], with the model's own scaling and soft cap.

    Raises NsadError for a model whose head does something else, found out by comparing both on a short input.
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
        ours, theirs = head(hidden).float(), model(input_ids=ids, use_cache=False).logits.float()
    if ours.shape != theirs.shape or not torch.allclose(ours, theirs, rtol=1e-2, atol=1e-2):
        raise NsadError(
            f"students of the kind `{config.model_type}` cannot be trained",
            "what their head makes of hidden states is not known here",
            "use another student, or add its head to nsad_cli/models/lm_head.py",
        )
    return head


def row_losses(head: Callable[[Tensor], Tensor], hidden: Tensor, losses: RowLosses) -> list[Tensor]:
    """Losses of every row of hidden [N,d], [N] each, differentiable in hidden alone: the head is frozen.

    The logits are made chunk by chunk, and a chunk's gradients are taken while its logits exist, so that nothing is
    computed twice.
    """
    pieces = [slice(start, start + CHUNK) for start in range(0, hidden.shape[0], CHUNK)]
    if hidden.requires_grad:
        return list(_RowLosses.apply(hidden, head, losses, pieces))
    found = [losses(head(hidden[piece]), piece) for piece in pieces]
    return [torch.cat(parts) for parts in zip(*found, strict=True)]


class _RowLosses(torch.autograd.Function):
    """Rows are independent: the gradient of a loss's sum holds each row's own, to be scaled on the way back."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Callable[[Tensor], Tensor], losses: RowLosses, pieces: Sequence[slice]
    ) -> tuple[Tensor, ...]:
        values: list[list[Tensor]] = []
        gradients: list[Tensor | None] = []
        for piece in pieces:
            with torch.enable_grad():
                rows = hidden[piece].detach().requires_grad_()
                found = list(losses(head(rows), piece))
                live = [i for i, loss in enumerate(found) if loss.requires_grad]
                for i in live:
                    (own,) = torch.autograd.grad(found[i].sum(), rows, retain_graph=i != live[-1])
                    while len(gradients) <= i:
                        gradients.append(None)
                    if gradients[i] is None:
                        gradients[i] = torch.empty_like(hidden)
                    gradients[i][piece] = own  # type: ignore[index]
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
        for given, own in zip(upstream, ctx.gradients, strict=False):
            if given is not None and own is not None:
                part = given[:, None].to(own.dtype) * own
                total = part if total is None else total + part
        return total, None, None, None
