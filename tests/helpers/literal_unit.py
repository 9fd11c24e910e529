"""NAT's integration unit by the paper's own equations: the reference of tests and benchmarks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nsad_cli.models.nat.forms import PAPER, UnitForm


def literal_output(
    x: Tensor,
    base: Tensor,
    matrices: dict[str, Tensor],
    s_pos: float,
    s_neg: float,
    dropped: Tensor | None = None,
    form: UnitForm = PAPER,
) -> Tensor:
    """Compute the unit by its literal form.

    Args:
        x: Inputs [..., d_in].
        base: The base layer's outputs [..., d_out].
        matrices: a_pos, b_pos, a_neg, b_neg, q, k and, unless `unit_value: identity`, c1 and c2: weights [out, in].
        s_pos: alpha / r of the positive adapter.
        s_neg: alpha / r of the negative adapter.
        dropped: x after dropout, for A+ and A−; None for x itself.
        form: The form of V and of the gate.

    Returns:
        Outputs [..., d_out].
    """
    m, dropped = matrices, x if dropped is None else dropped
    h_pos = base + s_pos * (dropped @ m["a_pos"].T @ m["b_pos"].T)
    h_neg = base + s_neg * (dropped @ m["a_neg"].T @ m["b_neg"].T)
    query = x @ m["q"].T
    scores = torch.stack([(query * (h_pos @ m["k"].T)).sum(-1), (query * (h_neg @ m["k"].T)).sum(-1)], -1)
    p = torch.softmax(scores, -1)[..., 1:]
    gate = {"learned": p - 0.5, "fixed": torch.full_like(p, 0.5), "positive": p / 2, "subtract": -p / 2}[form.gate]
    if "c1" not in m:
        return base + (1 - gate) * (h_pos - base) + gate * (h_neg - base)
    if form.value == "delta":
        h_pos, h_neg = (d * torch.rsqrt(d.square().mean(-1, keepdim=True) + 1e-6) for d in (h_pos - base, h_neg - base))
    v_pos = F.gelu(h_pos @ m["c1"].T) @ m["c2"].T
    v_neg = F.gelu(h_neg @ m["c1"].T) @ m["c2"].T
    return base + (1 - gate) * v_pos + gate * v_neg
