"""The integration unit, in the rearranged form that never makes a d_out-sized sum for K.

Literal form (section 3.1 of the paper; s = alpha / r, base = Wx with W's bias, exact GELU):

    h+  = base + s·B+A+x          h− = base + s·B−A−x
    a   = softmax([Qx·Kh+, Qx·Kh−])_neg − 1/2
    out = base + (1−a)·V(h+) + a·V(h−),   V(h) = C2·gelu(C1·h)

Rearranged, exactly equal: the softmax of two is a sigmoid of their difference, in which base cancels,
    a = σ(Qx·K(s·B−A−x − s·B+A+x)) − 1/2, with K·B± multiplied first;
C1·h± = C1·base + (C1·s·B±)(A±x) shares C1·base; C2 is linear and is applied once, to (1−a)·gelu(u+) + a·gelu(u−).
With `unit_value: identity`, V drops out: out = base + (1−a)·s·B+A+x + a·s·B−A−x.

Deviation from the reference code: with dropout, A+ and A− see one mask (it draws two), and Q sees x itself.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from peft.tuners import lora
from peft.tuners.lora.layer import LoraVariant
from torch import Tensor, nn

from nsad_cli.nat.config import NatConfig

UNIT_LAYERS = ("lora_unit_q", "lora_unit_k", "lora_unit_c1", "lora_unit_c2")


class NatLinear(lora.Linear):
    """A linear layer with ordinary LoRA adapters and NAT adapters on one base weight."""

    # One flat ModuleDict a matrix: PEFT cuts `.NAME` out of the keys it saves and puts it back before `.weight`.
    adapter_layer_names: tuple[str, ...] = (*lora.Linear.adapter_layer_names, *UNIT_LAYERS)

    def update_layer(self, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Add an adapter; PEFT calls this from the constructor too."""
        if not hasattr(self, UNIT_LAYERS[0]):
            for name in UNIT_LAYERS:
                setattr(self, name, nn.ModuleDict())
            self.nat_alpha: dict[str, Tensor] = {}
            self.nat_negative: dict[str, str] = {}
            self.nat_record = False
        self._path = str(kwargs.get("target_name", ""))
        super().update_layer(adapter_name, *args, **kwargs)

    def resolve_lora_variant(self, *, config: Any, **kwargs: Any) -> LoraVariant | None:
        """NAT for a NatConfig on a layer that gets the unit, PEFT's own choice for the rest."""
        if isinstance(config, NatConfig) and (
            config.unit_targets is None or self._path.rpartition(".")[2] in config.unit_targets
        ):
            return NatVariant()
        return super().resolve_lora_variant(config=config, **kwargs)

    def merge(self, *args: Any, **kwargs: Any) -> None:
        """Refuse where a NAT adapter is active: its gate depends on the input, so no weight equals it."""
        names = kwargs.get("adapter_names") or (args[1] if len(args) > 1 else None) or self.active_adapters
        if any(name in self.nat_negative for name in names):
            raise ValueError("a NAT adapter cannot be merged: its output is not linear in the input")
        super().merge(*args, **kwargs)


class NatVariant(LoraVariant):
    """PEFT's seam for LoRA variants: how a NAT adapter starts and what it computes."""

    def supports_lora_conversion(self) -> bool:
        """No LoRA equals it."""
        return False

    @staticmethod
    def init(module: NatLinear, adapter_name: str, config: NatConfig, **_: Any) -> None:
        """Add the unit; it starts as nothing: C2 = 0 (or Q = 0 for `identity`) and, by PEFT, B+ = 0."""
        if config.negative not in module.lora_A:
            raise ValueError(f"the negative adapter `{config.negative}` does not cover this layer")
        size, like = config.unit_size, module.lora_A[adapter_name].weight
        shapes = {"lora_unit_q": (module.in_features, size), "lora_unit_k": (module.out_features, size)}
        if config.unit_value == "mlp":
            shapes |= {"lora_unit_c1": (module.out_features, size), "lora_unit_c2": (size, module.out_features)}
        zero = "lora_unit_c2" if config.unit_value == "mlp" else "lora_unit_q"
        for name, (inputs, outputs) in shapes.items():
            layer = nn.Linear(inputs, outputs, bias=False)
            if name == zero:
                nn.init.zeros_(layer.weight)
            getattr(module, name)[adapter_name] = layer.to(device=like.device, dtype=like.dtype)
        module.nat_negative[adapter_name] = config.negative

    @staticmethod
    def forward(module: NatLinear, active_adapter: str, x: Tensor, result: Tensor, **_: Any) -> Tensor:
        """NAT's output for inputs x [..., d_in] and base outputs `result` [..., d_out]."""
        negative = module.nat_negative[active_adapter]
        a_pos, b_pos = module.lora_A[active_adapter].weight, module.lora_B[active_adapter].weight
        a_neg, b_neg = module.lora_A[negative].weight, module.lora_B[negative].weight
        b_pos, b_neg = b_pos * module.scaling[active_adapter], b_neg * module.scaling[negative]
        query = module.lora_unit_q[active_adapter].weight
        dropout = module.lora_dropout[active_adapter]
        if isinstance(dropout, nn.Identity) or not module.training:
            z_pos, z_neg, q = F.linear(x, torch.cat([a_pos, a_neg, query])).split(
                [a_pos.shape[0], a_neg.shape[0], query.shape[0]], -1
            )
        else:
            z_pos, z_neg = F.linear(dropout(x), torch.cat([a_pos, a_neg])).split([a_pos.shape[0], a_neg.shape[0]], -1)
            q = F.linear(x, query)
        key = module.lora_unit_k[active_adapter].weight
        difference = F.linear(z_neg, key @ b_neg) - F.linear(z_pos, key @ b_pos)
        gate = torch.sigmoid((q * difference).sum(-1, keepdim=True)) - 0.5
        if module.nat_record:
            module.nat_alpha[active_adapter] = gate.detach().mean()
        if active_adapter not in module.lora_unit_c1:  # unit_value: identity
            return result + F.linear((1 - gate) * z_pos, b_pos) + F.linear(gate * z_neg, b_neg)
        c1, c2 = module.lora_unit_c1[active_adapter].weight, module.lora_unit_c2[active_adapter].weight
        shared = F.linear(result.to(z_pos.dtype), c1)
        u_pos = shared + F.linear(z_pos, c1 @ b_pos)
        u_neg = shared + F.linear(z_neg, c1 @ b_neg)
        return result + F.linear((1 - gate) * F.gelu(u_pos) + gate * F.gelu(u_neg), c2)


def literal_output(
    x: Tensor, base: Tensor, matrices: dict[str, Tensor], s_pos: float, s_neg: float, value: str = "mlp"
) -> Tensor:
    """The design's equations word for word: the reference that tests and benchmarks compare with.

    x [..., d_in], base [..., d_out]; matrices a_pos, b_pos, a_neg, b_neg, q, k and, for `mlp`, c1 and c2, each as
    its layer's weight [out, in].
    """
    m = matrices
    h_pos = base + s_pos * (x @ m["a_pos"].T @ m["b_pos"].T)
    h_neg = base + s_neg * (x @ m["a_neg"].T @ m["b_neg"].T)
    query = x @ m["q"].T
    scores = torch.stack([(query * (h_pos @ m["k"].T)).sum(-1), (query * (h_neg @ m["k"].T)).sum(-1)], -1)
    gate = torch.softmax(scores, -1)[..., 1:] - 0.5
    if value == "identity":
        return base + (1 - gate) * (h_pos - base) + gate * (h_neg - base)
    v_pos = F.gelu(h_pos @ m["c1"].T) @ m["c2"].T
    v_neg = F.gelu(h_neg @ m["c1"].T) @ m["c2"].T
    return base + (1 - gate) * v_pos + gate * v_neg
