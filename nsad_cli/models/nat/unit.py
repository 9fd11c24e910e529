"""The parts of the unit's rearranged form (nat/layer.py) that training and serving share: pure tensor functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


def gate(z: Tensor, e: Tensor) -> Tensor:
    """A of each token, in float32 or wider; z = [z+, z−] and Ex, [N, r+ + r−] each → [N, 1]."""
    wide = torch.promote_types(z.dtype, torch.float32)
    return torch.sigmoid((z.to(wide) * e.to(wide)).sum(-1, keepdim=True)) - 0.5


def hidden(shared: Tensor, parts: Sequence[Tensor], p_pos: Tensor, p_neg: Tensor) -> tuple[Tensor, Tensor]:
    """u+ and u−, V's hidden layer before its GELU: C1·base [N, size] and z± [N, r] → [N, size] each; p± are s·C1·B±."""
    z_pos, z_neg = parts
    return torch.addmm(shared, z_pos, p_pos.T), torch.addmm(shared, z_neg, p_neg.T)


def mixed(u_pos: Tensor, u_neg: Tensor, a: Tensor) -> Tensor:
    """(1−a)·gelu(u+) + a·gelu(u−), with a [N, 1] in their dtype."""
    return torch.lerp(F.gelu(u_pos), F.gelu(u_neg), a)


def chosen(parts: Sequence[Tensor], a: Tensor) -> Tensor:
    """[(1−a)·z+, a·z−]: what B+ and B− take where `unit_value` is `identity`; parts are z±."""
    z_pos, z_neg = parts
    return torch.cat([(1 - a) * z_pos, a * z_neg], -1)
