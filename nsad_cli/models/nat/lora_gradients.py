"""A linear layer with a LoRA as one function, in the dtype of its input, with gradients in the dtype of each weight.

Without autocast, and with a base in bfloat16, PEFT would convert the input of every layer to the adapter's float32.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def lora_output(
    x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scaling: float, rate: float
) -> Tensor:
    """Compute Wx + s·BA·dropout(x); the weight W and the bias get no gradient.

    Args:
        x: [N, d_in].
        weight: W [d_out, d_in], in the dtype of x.
        bias: W's bias [d_out].
        a: A [r, d_in].
        b: B [d_out, r].
        scaling: s, alpha / r.
        rate: The rate of dropout.

    Returns:
        [N, d_out], in the dtype of x.
    """
    output: Tensor = _LoraLinear.apply(x, weight, bias, a, b, scaling, rate)  # type: ignore[no-untyped-call]  # torch has no annotations here
    return output


class _LoraLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scaling: float, rate: float
    ) -> Tensor:
        a_low, b_low = a.to(x.dtype), (scaling * b).to(x.dtype)
        dropped, mask = torch.native_dropout(x, rate, True) if rate else (x, None)
        z = dropped @ a_low.T
        ctx.save_for_backward(x, mask, z, weight, a_low, b_low)
        ctx.scaling, ctx.rate, ctx.dtypes = scaling, rate, (a.dtype, b.dtype)
        return F.linear(x, weight, bias).addmm_(z, b_low.T)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, mask, z, weight, a, b = ctx.saved_tensors
        need_x, _, _, need_a, need_b, _, _ = ctx.needs_input_grad
        g_z = g @ b
        g_a = (g_z.T @ drop(x, mask, ctx.rate)).to(ctx.dtypes[0]) if need_a else None
        g_b = (g.T @ z).to(ctx.dtypes[1]).mul_(ctx.scaling) if need_b else None
        g_x = None
        if need_x and mask is None:
            g_x = (g @ weight).addmm_(g_z, a)
        elif need_x:
            g_x = (g @ weight).add_(drop(g_z @ a, mask, ctx.rate))
        return g_x, None, None, g_a, g_b, None, None


def drop(values: Tensor, mask: Tensor | None, rate: float) -> Tensor:
    """Apply dropout with a stored mask, which takes one byte per value; None leaves the values unchanged."""
    return values if mask is None else (values * mask).mul_(1 / (1 - rate))
