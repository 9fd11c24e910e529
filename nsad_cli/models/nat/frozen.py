"""Adapters while their weights do not change: products of weights are computed once, not in every forward pass.

A change of weights in place is noticed, except one through `.data`, which torch does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nsad_cli.models.nat.serving import ServedUnit, served_tensors
from nsad_cli.models.packed_weights import PackedProduct

if TYPE_CHECKING:
    from nsad_cli.models.nat.forms import UnitForm


class FrozenAdapter:
    """One adapter of a linear layer, for forward passes without gradients, in the dtype of the layer's weight."""

    def __init__(
        self, base: nn.Linear, matrices: dict[str, Tensor], s_pos: float, s_neg: float, form: UnitForm
    ) -> None:
        """Compute the products; for the arguments see `served_tensors`."""
        self.base = base
        with torch.inference_mode(False), torch.no_grad():
            self.unit = ServedUnit(served_tensors(matrices, s_pos, s_neg, base.weight, base.bias, form))
        self.below, below_bias = self.unit.take_below()
        self.below_bias = below_bias if base.bias is not None else None
        # torch counts changes in place, except those of fused optimizers: their weights require gradients.
        self._own = (matrices["a_pos"], matrices.get("a_neg", matrices["a_pos"]), s_pos, s_neg)
        self._weights = [(weight, weight._version) for weight in (base.weight, *matrices.values())]

    def fits(self, x: Tensor) -> bool:
        """Return whether the adapter can be used for x: its weights have not changed, and are not being trained."""
        if x.dtype != self.below.dtype or x.device != self.below.device or torch.is_autocast_enabled(x.device.type):
            return False
        return all(weight._version == version and not weight.requires_grad for weight, version in self._weights)

    def belongs_to(self, a_pos: Tensor, a_neg: Tensor, s_pos: float, s_neg: float) -> bool:
        """Return whether these are its A+, A− and scales: an adapter may be replaced by another of the same name."""
        own = self._own
        return own[0] is a_pos and own[1] is a_neg and own[2:] == (s_pos, s_neg)

    def output(self, x: Tensor) -> Tensor:
        """Compute the adapted output [N, d_out] for x [N, d_in]."""
        packed = vars(self.base).get("forward")
        if isinstance(packed, PackedProduct):  # while sampling on some CPUs
            base, low = packed.joined(self.below, self.below_bias, x)
        else:
            base = F.linear(x, self.base.weight, self.base.bias)
            low = F.linear(x, self.below, self.below_bias)
        adapted: Tensor = self.unit(base, low)
        return adapted
