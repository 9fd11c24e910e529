"""Adapters while their weights do not change: products of weights are computed once, not in every forward pass."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nsad_cli.models.nat.serving import ServedUnit, served_tensors


class FrozenAdapter:
    """One adapter of a linear layer, for forward passes without gradients, in the dtype of the layer's weight."""

    def __init__(self, base: nn.Linear, matrices: dict[str, Tensor], s_pos: float, s_neg: float) -> None:
        self.base = base
        self.unit = ServedUnit(served_tensors(matrices, s_pos, s_neg, base.weight, base.bias))
        self.below, below_bias = self.unit.take_below()
        self.below_bias = below_bias if base.bias is not None else None

    def output(self, x: Tensor) -> Tensor:
        """Compute the adapted output [N, d_out] for x [N, d_in]."""
        base = F.linear(x, self.base.weight, self.base.bias)
        adapted: Tensor = self.unit(base, F.linear(x, self.below, self.below_bias))
        return adapted


class FrozenAdapters:
    """The adapters of a linear layer by name; one whose weights have changed is built again."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Any, FrozenAdapter]] = {}

    def get(self, name: str, base: nn.Linear, matrices: dict[str, Tensor], s_pos: float, s_neg: float) -> FrozenAdapter:
        """Return an adapter with its current weights; for the arguments see `served_tensors`."""
        # torch counts most changes of a tensor in place; a weight that was moved to another device has another address.
        # The base's address does not count: FSDP gathers it anew for every pass.
        versions = [(weight.data_ptr(), weight._version) for weight in matrices.values()]
        key = (id(base.weight), base.weight._version, base.weight.device, versions)
        known = self._known.get(name)
        if known is None or known[0] != key:
            with torch.inference_mode(False), torch.no_grad():
                known = self._known[name] = key, FrozenAdapter(base, matrices, s_pos, s_neg)
        return known[1]

    def forget(self, name: str) -> None:
        """Drop an adapter that is deleted or trained."""
        self._known.pop(name, None)
