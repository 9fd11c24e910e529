"""The adapted linear layers of a model: which adapter they run with, and the gates that NAT adapters computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nsad_cli.models.nat.layer import NatLinear

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


class AdaptedLayers:
    """References to a model's adapted layers, so that switching adapters does not walk the whole model."""

    def __init__(self) -> None:
        self._layers: list[tuple[str, NatLinear]] = []
        self.active: str | None = None
        """The adapter that forward passes go through; None for the bare base."""

    def __iter__(self) -> Iterator[tuple[str, NatLinear]]:
        """Iterate over the layers, each with its path in the base model."""
        return iter(self._layers)

    def find(self, base: nn.Module) -> None:
        """Find the adapted layers of a base model again, after an adapter was added or deleted."""
        self._layers = [(path, module) for path, module in base.named_modules() if isinstance(module, NatLinear)]

    def activate(self, name: str | None) -> None:
        """Send forward passes through one adapter, or through the bare base for None.

        Unlike PEFT's `set_adapter` it changes no requires_grad, so it may be called while a graph is being built.
        """
        self.active = name
        for _, layer in self._layers:
            layer._disable_adapters = name is None
            if name is not None:
                layer._active_adapter = [name]

    def forget(self, name: str) -> None:
        """Drop what the layers hold of a NAT adapter besides its parameters."""
        for _, layer in self._layers:
            layer.nat_alpha.pop(name, None)
            layer.nat_negative.pop(name, None)
            layer.nat_form.pop(name, None)
            layer.forget_frozen(name)

    def shapes(self) -> list[tuple[str, int, int]]:
        """List each layer's path in the base with its input and output width."""
        return [(path, layer.in_features, layer.out_features) for path, layer in self._layers]

    # --- α --------------------------------------------------------------------------------------------------------

    def record_alphas(self, on: bool) -> None:
        """Start or stop recording each NAT layer's mean gate α in its forward passes."""
        for _, layer in self._layers:
            layer.nat_record = on

    def alphas(self, name: str) -> dict[str, float]:
        """Read the mean gate α of each layer's latest recorded forward pass, by the layer's path in the base."""
        found = [(path, layer.nat_alpha[name]) for path, layer in self._layers if name in layer.nat_alpha]
        if not found:
            return {}
        values = torch.stack([value for _, value in found]).tolist()
        return {path: round(value, 5) for (path, _), value in zip(found, values, strict=True)}
