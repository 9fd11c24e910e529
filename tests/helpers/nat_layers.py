"""A single NAT layer with random weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.nat.config import AdapterSettings
from nsad_cli.models.nat.layer import NatLinear


def nat_layer(
    d_in: int = 64,
    d_out: int = 64,
    *,
    dropout: float = 0.0,
    value: Any = "mlp",
    gate: Any = "learned",
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    negative_r: int = 8,
) -> NatLinear:
    """A trained-looking NAT layer [d_in → d_out] in training mode, its unit 16 wide; only the positive side trains."""
    heads: dict[str, Any] = {"num_attention_heads": d_in // 16, "num_key_value_heads": d_out // 16}
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=8, hidden_size=d_in, intermediate_size=8, num_hidden_layers=1, attention_bias=True, **heads
        )
    )
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    model.to(wide)  # type: ignore[arg-type]  # transformers wraps it, so mypy takes it for a function
    adapters = Adapters(model)
    adapters.add_lora("negative", AdapterSettings(targets=("v_proj",), dropout=dropout, r=negative_r), 0)
    settings = AdapterSettings(targets=("v_proj",), dropout=dropout, unit_size=16, unit_value=value, unit_gate=gate)
    adapters.add_nat("nat", settings, "negative", 1)
    torch.manual_seed(seed)
    for name in ("negative", "nat"):
        for _, parameter in adapters.parameters_of(name):
            nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
    adapters.train_only("nat")
    adapters.layers.activate("nat")
    (layer,) = [module for module in model.modules() if isinstance(module, NatLinear)]
    return layer.to(dtype).train()
