"""Small random models of several architectures with NAT on them, and their outputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.nat.config import AdapterSettings

SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}
MODELS: dict[str, Any] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, attention_bias=True)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SHAPE)),
    "gemma": lambda: GemmaForCausalLM(GemmaConfig(**SHAPE, head_dim=8)),
}
QV = AdapterSettings(dropout=0.0, unit_size=16)


def nat_model(kind: str = "llama", settings: AdapterSettings = QV, double: bool = True) -> Adapters:
    """A random model with a trained-looking negative adapter and an untrained NAT."""
    torch.manual_seed(0)
    model = MODELS[kind]().eval()
    if double:
        model = model.double()
    adapters = Adapters(model)
    adapters.add_lora("negative", settings, 0)
    shake(adapters, "negative", 1)
    adapters.add_nat("nat", settings, "negative", 2)
    return adapters


def shake(adapters: Adapters, name: str, seed: int) -> None:
    """Random weights in place of an adapter's start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in adapters.parameters_of(name):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))


def logits(adapters: Adapters, name: str | None, ids: Tensor | None = None) -> Tensor:
    """Logits through one adapter."""
    ids = torch.arange(1, 13).view(2, 6) if ids is None else ids
    with torch.no_grad(), adapters.use(name):
        found: Tensor = adapters.model(input_ids=ids).logits
    return found
