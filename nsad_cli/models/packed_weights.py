"""Linear layers of a frozen bfloat16 model on a CPU, with weights in the layout that oneDNN's kernels read.

A product with a plain weight [d_out, d_in] converts the weight's layout each time, which takes a large part of a
product with few rows, as in decoding. Here the layout is converted once. Products agree with the plain ones up to the
rounding of bfloat16. Whether layers are packed depends on the model and the machine only, so a resumed run samples the
same chains.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 2 * 2**30
"""Models whose linear layers take more memory are not packed: the packed weights exist beside the plain ones."""
ROWS = 16
"""The number of rows that oneDNN chooses the layout for; products of any other number use it too."""


class PackedProduct:
    """The product of one layer, alone or with the rows of an adapter below its weight; each is packed when first used.

    Args:
        layer: The layer; its weight W [d_out, d_in] does not change while this exists.
    """

    def __init__(self, layer: nn.Linear) -> None:
        self._weight = layer.weight.detach()
        self._bias: Tensor | None = None if layer.bias is None else layer.bias.detach()
        self._packed: Tensor | None = None
        self._below: Tensor | None = None
        self._joined: tuple[Tensor, Tensor | None] = (torch.empty(0), None)

    def __call__(self, x: Tensor) -> Tensor:
        """Compute the layer's output [..., d_out] for x [..., d_in]."""
        if self._packed is None:
            self._packed = _pack(self._weight)
        return _product(self._packed, self._bias, x)

    def joined(self, below: Tensor, below_bias: Tensor | None, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the layer's output [N, d_out] and that of further rows [N, n] in one product.

        Args:
            below: The rows [n, d_in]; packed again if it is another tensor than before.
            below_bias: Their bias [n]; None if the layer has none.
            x: [N, d_in].
        """
        if self._below is not below:
            both = [bias for bias in (self._bias, below_bias) if bias is not None]
            self._below, self._joined = (
                below,
                (_pack(torch.cat([self._weight, below])), torch.cat(both) if both else None),
            )
        full = _product(*self._joined, x)
        return full[:, : len(self._weight)], full[:, len(self._weight) :]


class PackedLayers:
    """A model's linear layers with packed weights, which take as much memory as the plain ones until this is freed.

    Args:
        model: The model; nothing is packed unless it is in bfloat16 on a CPU with bfloat16 instructions.
    """

    def __init__(self, model: nn.Module) -> None:
        self._layers = linear_layers(model) if packed_bytes(model, _device(model)) else []
        self._products = [PackedProduct(layer) for layer in self._layers]
        self._versions = [layer.weight._version for layer in self._layers]

    def __len__(self) -> int:
        """Return the number of packed layers."""
        return len(self._layers)

    def current(self) -> bool:
        """Return whether no weight has been changed in place since it was packed."""
        return self._versions == [layer.weight._version for layer in self._layers]

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Run forward passes through the packed weights inside the context; they have no gradients."""
        for layer, product in zip(self._layers, self._products, strict=True):
            layer.__dict__["forward"] = product  # found before the class's own method
        try:
            yield
        finally:
            for layer in self._layers:
                del layer.__dict__["forward"]


def packed_bytes(model: nn.Module, device: torch.device) -> int:
    """Return the size of a model's packed weights on a device; 0 if they are not packed there.

    Args:
        model: The model; it may be on the meta device.
        device: The device that it samples on.
    """
    if device.type != "cpu" or not _supported():
        return 0
    size = sum(layer.weight.numel() * layer.weight.element_size() for layer in linear_layers(model))
    return size if size <= MAX_BYTES else 0


def linear_layers(model: nn.Module) -> list[nn.Linear]:
    """List a model's plain linear layers in bfloat16 outside GPUs, except those of adapters."""
    return [
        module
        for path, module in model.named_modules()
        if type(module) is nn.Linear
        and ".lora_" not in path
        and "forward" not in vars(module)
        and module.weight.dtype == torch.bfloat16
        and module.weight.device.type in ("cpu", "meta")
    ]


def _supported() -> bool:
    operators: Any = torch.ops.mkldnn
    known = hasattr(operators, "_reorder_linear_weight") and hasattr(operators, "_linear_pointwise")
    return known and torch.backends.mkldnn.is_available() and bool(operators._is_mkldnn_bf16_supported())


def _device(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _pack(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), ROWS)
    return packed


def _product(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return result
