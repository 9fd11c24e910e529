"""Pure tensor functions of the integration unit's rearranged form (see `layer`), shared by training and serving."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from nsad_cli.models.nat.forms import DELTA_EPSILON, LEARNED, GateRange

if TYPE_CHECKING:
    from collections.abc import Sequence


def gate(z: Tensor, e: Tensor, form: GateRange = LEARNED) -> Tensor:
    """Compute the gate a of each token in at least float32.

    Args:
        z: [z+, z−], [N, r+ + r−].
        e: Ex, [N, r+ + r−].
        form: The range of the gate.

    Returns:
        The gate, [N, 1].
    """
    wide = torch.promote_types(z.dtype, torch.float32)
    p = torch.sigmoid((z.to(wide) * e.to(wide)).sum(-1, keepdim=True))
    return p - 0.5 if form == LEARNED else form.scale * p + form.offset


def gate_slope(a: Tensor, form: GateRange = LEARNED) -> Tensor:
    """Compute the derivative of the gate a [N, 1] with respect to its score: scale · σ · (1 − σ)."""
    if form == LEARNED:
        return 0.25 - a.square()
    if form.scale == 0:
        return torch.zeros_like(a)
    p = (a - form.offset) / form.scale
    return form.scale * p * (1 - p)


def normalised(z: Tensor, gram: Tensor) -> Tensor:
    """Scale z [N, r] so that s·Bz has a root mean square of 1 over its d_out elements.

    Args:
        z: The low-rank projections A±x.
        gram: (s·B)ᵀ(s·B) / d_out, [r, r].

    Returns:
        z over the root mean square of s·Bz, in the dtype of z.
    """
    wide = z.to(torch.promote_types(z.dtype, torch.float32))
    mean_square = ((wide @ gram.to(wide.dtype)) * wide).sum(-1, keepdim=True).clamp(min=0)
    return (wide * torch.rsqrt(mean_square + DELTA_EPSILON)).to(z.dtype)


def hidden(shared: Tensor, parts: Sequence[Tensor], p_pos: Tensor, p_neg: Tensor) -> tuple[Tensor, Tensor]:
    """Compute V's hidden layer before its GELU, for both adapters.

    Args:
        shared: C1·base, [N, size].
        parts: z+ and z−, [N, r] each.
        p_pos: s·C1·B+, [size, r].
        p_neg: s·C1·B−, [size, r].

    Returns:
        u+ and u−, [N, size] each.
    """
    z_pos, z_neg = parts
    return torch.addmm(shared, z_pos, p_pos.T), torch.addmm(shared, z_neg, p_neg.T)


def mix_hidden(u_pos: Tensor, u_neg: Tensor, a: Tensor) -> Tensor:
    """Compute (1−a)·gelu(u+) + a·gelu(u−), with a [N, 1] in their dtype."""
    return torch.lerp(F.gelu(u_pos), F.gelu(u_neg), a)


def weigh_projections(parts: Sequence[Tensor], a: Tensor) -> Tensor:
    """Compute [(1−a)·z+, a·z−], the input of B+ and B− if `unit_value` is `identity`; `parts` are z+ and z−."""
    z_pos, z_neg = parts
    return torch.cat([(1 - a) * z_pos, a * z_neg], -1)
