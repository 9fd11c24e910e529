"""Pure tensor functions of the integration unit's rearranged form (see `layer`), shared by training and serving."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


def gate(z: Tensor, e: Tensor) -> Tensor:
    """Compute the gate a of each token in at least float32.

    Args:
        z: [z+, z−], [N, r+ + r−].
        e: Ex, [N, r+ + r−].

    Returns:
        The gate, [N, 1].
    """
    wide = torch.promote_types(z.dtype, torch.float32)
    return torch.sigmoid((z.to(wide) * e.to(wide)).sum(-1, keepdim=True)) - 0.5


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
