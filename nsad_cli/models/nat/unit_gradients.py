"""The integration unit's rearranged form with gradients; see `layer` for its equations.

The backward pass keeps x, base, C1·base, z± and Ex, and recomputes all else at little cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from nsad_cli.models.nat.forms import PAPER, GateRange, UnitForm
from nsad_cli.models.nat.lora_gradients import drop
from nsad_cli.models.nat.unit import gate, gate_slope, hidden, mix_hidden, normalised, weigh_projections

if TYPE_CHECKING:
    from collections.abc import Sequence


def unit_output(
    x: Tensor,
    result: Tensor,
    matrices: dict[str, Tensor],
    s_pos: float,
    s_neg: float,
    rate: float,
    form: UnitForm = PAPER,
) -> tuple[Tensor, Tensor]:
    """Compute NAT's output [N, d_out], in the dtype of `result`, and gate a [N, 1].

    Args:
        x: Inputs [N, d_in].
        result: The base layer's outputs [N, d_out].
        matrices: See `unit_matrices`.
        s_pos: alpha / r of the positive adapter.
        s_neg: alpha / r of the negative adapter.
        rate: The rate of dropout on the inputs of A+ and A−.
        form: The form of the unit.
    """
    m, dtype = matrices, x.dtype
    with torch.autocast(x.device.type, enabled=False):  # products of weights are computed in their own dtype, then cast
        a_pos, a_neg, b_pos, b_neg = m["a_pos"], m["a_neg"], s_pos * m["b_pos"].T, s_neg * m["b_neg"].T
        b, ranks = torch.cat([b_pos, b_neg]), [len(b_pos), len(b_neg)]
        k_pos, k_neg = F.linear(b, m["k"]).split(ranks)
        down = a_pos.to(dtype), a_neg.to(dtype), (torch.cat([-k_pos, k_neg]) @ m["q"]).to(dtype)
        if form.value == "delta":
            return _delta_unit(x, result, torch.cat(down), b.split(ranks), m, rate, form.range)
        if form.value == "mlp":
            p_pos, p_neg = F.linear(b, m["c1"]).to(dtype).split(ranks)
            c1, c2 = m["c1"].to(dtype), m["c2"].to(dtype)
            # torch does not annotate `apply`
            unit: tuple[Tensor, Tensor] = _Unit.apply(  # type: ignore[no-untyped-call]
                x, result, *down, p_pos.T, p_neg.T, c1, c2, rate, form.range
            )
            return unit
        b_pos, b_neg = b.to(dtype).split(ranks)
        return _identity_unit(x, result, torch.cat(down), b_pos, b_neg, rate, form.range)


class _Unit(torch.autograd.Function):
    """The unit with V for N tokens: x [N, d_in] and result [N, d_out] → output [N, d_out] and gate a [N, 1].

    a_pos, a_neg and e_rows are A+, A− and E; p_pos and p_neg [size, r] are s·C1·B±; c1 and c2 are weights of layers.
    All except result have the same dtype; rate is that of the dropout. The gate has no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        result: Tensor,
        a_pos: Tensor,
        a_neg: Tensor,
        e_rows: Tensor,
        p_pos: Tensor,
        p_neg: Tensor,
        c1: Tensor,
        c2: Tensor,
        rate: float,
        form: GateRange,
    ) -> tuple[Tensor, Tensor]:
        low, mask = _project(x, torch.cat([a_pos, a_neg, e_rows]), rate)
        z, e = low.chunk(2, -1)
        a = gate(z, e, form)
        base = result.to(x.dtype)
        shared = base @ c1.T
        u_pos, u_neg = hidden(shared, z.split([len(a_pos), len(a_neg)], -1), p_pos, p_neg)
        out = _add_product(result, mix_hidden(u_pos, u_neg, a.to(x.dtype)), c2.T)
        ctx.save_for_backward(x, mask, base, low, shared, a, a_pos, a_neg, e_rows, p_pos, p_neg, c1, c2)
        ctx.rate, ctx.form = rate, form
        ctx.mark_non_differentiable(a)
        ctx.set_materialize_grads(False)
        return out, a

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
        x, mask, base, low, shared, wide_a, a_pos, a_neg, e_rows, p_pos, p_neg, c1, c2 = ctx.saved_tensors
        need_x, need_result, *need_down, _, _, need_c1, need_c2, _, _ = ctx.needs_input_grad
        down = torch.cat([a_pos, a_neg, e_rows])
        z, e = low.chunk(2, -1)
        z_pos, z_neg = z.split([len(a_pos), len(a_neg)], -1)
        a, g_out = wide_a.to(x.dtype), g.to(x.dtype)
        with torch.autocast(x.device.type, enabled=False):
            u_pos, u_neg = hidden(shared, (z_pos, z_neg), p_pos, p_neg)
            v_pos, v_neg = F.gelu(u_pos), F.gelu(u_neg)
            g_mixed = g_out @ c2
            g_c2 = g_out.T @ torch.lerp(v_pos, v_neg, a) if need_c2 else None
            g_score = (g_mixed * (v_neg - v_pos)).sum(-1, keepdim=True, dtype=wide_a.dtype)
            g_score *= gate_slope(wide_a, ctx.form)
            g_neg = g_mixed * a
            g_pos = torch.ops.aten.gelu_backward(g_mixed - g_neg, u_pos)
            g_neg = torch.ops.aten.gelu_backward(g_neg, u_neg)
            g_shared = g_pos + g_neg
            g_low = g_score.to(x.dtype) * torch.cat([e, z], -1)
            g_low[:, : z.shape[-1]] += torch.cat([g_pos @ p_pos, g_neg @ p_neg], -1)
            g_down: tuple[Tensor | None, ...] = (None, None, None)
            if any(need_down):
                g_down = _gradient_of_down(g_low, x, mask, ctx.rate).split([len(a_pos), len(a_neg), len(e_rows)])
            return (
                _gradient_of_x(g_low, down, mask, ctx.rate) if need_x else None,
                _add_product(g, g_shared, c1) if need_result else None,
                *g_down,
                g_pos.T @ z_pos,
                g_neg.T @ z_neg,
                g_shared.T @ base if need_c1 else None,
                g_c2,
                None,
                None,
            )


def _identity_unit(
    x: Tensor, result: Tensor, down: Tensor, b_pos: Tensor, b_neg: Tensor, rate: float, form: GateRange
) -> tuple[Tensor, Tensor]:
    """The unit without V, like _Unit; down is A+, A− and E, and b_pos and b_neg [r, d_out] are (s·B±)ᵀ."""
    low, _ = _project(x, down, rate)
    z, e = low.chunk(2, -1)
    a = gate(z, e, form)
    parts = weigh_projections(z.split([len(b_pos), len(b_neg)], -1), a.to(x.dtype))
    return result + parts @ torch.cat([b_pos, b_neg]), a


def _delta_unit(
    x: Tensor,
    result: Tensor,
    down: Tensor,
    b: Sequence[Tensor],
    matrices: dict[str, Tensor],
    rate: float,
    form: GateRange,
) -> tuple[Tensor, Tensor]:
    """The unit with V on the adapters' normalised outputs; down is A+, A− and E, and b holds (s·B±)ᵀ [r, d_out]."""
    dtype = x.dtype
    low, _ = _project(x, down, rate)
    z, e = low.chunk(2, -1)
    a = gate(z, e, form)
    hidden_of = []
    for part, rows in zip(z.split([len(rows) for rows in b], -1), b, strict=True):
        gram = rows @ rows.T / rows.shape[1]
        hidden_of.append(normalised(part, gram) @ F.linear(rows, matrices["c1"]).to(dtype))
    mixed = mix_hidden(hidden_of[0], hidden_of[1], a.to(dtype))
    return _add_product(result, mixed, matrices["c2"].T.to(dtype)), a


def _project(x: Tensor, down: Tensor, rate: float) -> tuple[Tensor, Tensor | None]:
    """Compute [z+, z−, Ex], and x's dropout mask if there is dropout, which applies to z+ and z− only."""
    if not rate:
        return x @ down.T, None
    dropped, mask = torch.native_dropout(x, rate, True)
    half = down.shape[0] // 2
    return torch.cat([dropped @ down[:half].T, x @ down[half:].T], -1), mask


def _gradient_of_x(g_low: Tensor, down: Tensor, mask: Tensor | None, rate: float) -> Tensor:
    if mask is None:
        return g_low @ down
    (g_z, g_e), (down_z, down_e) = g_low.chunk(2, -1), down.chunk(2)
    return drop(g_z @ down_z, mask, rate).addmm_(g_e, down_e)


def _gradient_of_down(g_low: Tensor, x: Tensor, mask: Tensor | None, rate: float) -> Tensor:
    if mask is None:
        return g_low.T @ x
    g_z, g_e = g_low.chunk(2, -1)
    return torch.cat([g_z.T @ drop(x, mask, rate), g_e.T @ x])


def _add_product(start: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Compute start + left·right, in one pass over memory if the dtypes allow it."""
    return torch.addmm(start, left, right) if start.dtype == left.dtype else start + left @ right
