"""Turning an adapter into weights that work without this package's layers: merged, or as tensors for a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from nsad_cli.errors import NsadError
from nsad_cli.models.nat.forms import PAPER
from nsad_cli.models.nat.layer import unit_matrices
from nsad_cli.models.nat.serving import PREFIX, served_tensors

if TYPE_CHECKING:
    from torch import Tensor

    from nsad_cli.models.nat.adapters import Adapters


@torch.no_grad()
def merge_adapter(adapters: Adapters, name: str) -> Any:
    """Add a LoRA to the base weights and remove all adapters; sums are taken in float32, stored in the weight's dtype.

    Returns:
        The base model, without any adapter layer.

    Raises:
        NsadError: The adapter is NAT's, which no single weight equals; or the base is quantised; or an adapted layer
            shares its weight with the embeddings.
    """
    if adapters.is_nat(name):
        raise NsadError(
            f"the adapter `{name}` cannot be merged",
            "NAT's gate depends on the input, so no weight equals it",
            "merge a LoRA, such as the NCE student",
        )
    if getattr(adapters.base, "is_quantized", False):
        raise NsadError(
            f"the adapter `{name}` cannot be merged",
            "the base's weights are in 4 bits, which its sums do not fit into",
            "export the LoRA itself with --lora",
        )
    embeddings = adapters.base.get_input_embeddings().weight
    layers = [(path, layer) for path, layer in adapters.layers if name in layer.lora_A]
    for path, layer in layers:
        if layer.get_base_layer().weight is embeddings:
            raise NsadError(
                f"the adapter `{name}` cannot be merged",
                f"`{path}` shares its weight with the embeddings, which would change with it",
                "export the LoRA itself with --lora",
            )
    for _, layer in layers:
        weight = layer.get_base_layer().weight
        weight.copy_(weight.float() + layer.get_delta_weight(name).float())
    return adapters.remove_all()


def served_adapter(adapters: Adapters, name: str) -> dict[str, Tensor]:
    """Compute an adapter's tensors as a server takes them (see `serving`), by the path of their layer in the base.

    Raises:
        NsadError: A layer is quantised, or shares its weight with the embeddings.
    """
    adapters.require(name)
    embeddings = adapters.base.get_input_embeddings().weight
    found: dict[str, Tensor] = {}
    for path, layer in adapters.layers:
        if name not in layer.lora_A:
            continue
        plain = layer.get_base_layer()
        if getattr(adapters.base, "is_quantized", False) or plain.weight is embeddings:
            why = "shares its weight with the embeddings" if plain.weight is embeddings else "is in 4 bits"
            raise NsadError(
                f"the adapter `{name}` cannot be served by vLLM",
                f"`{path}` {why}",
                "train it on other layers, or with student.load_in_4bit off",
            )
        scales = layer.scaling[name], layer.scaling[layer.nat_negative.get(name, name)]
        form = layer.nat_form.get(name, PAPER)
        tensors = served_tensors(unit_matrices(layer, name), *scales, plain.weight, plain.bias, form)
        found |= {f"{path}.{PREFIX}{key}": value for key, value in tensors.items()}
    return found
