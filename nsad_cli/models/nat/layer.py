"""NAT's linear layer, whose integration unit is computed in an exact rearranged form at a third of the cost.

Literal form (section 3.1 of the paper; s = alpha / r, base = Wx with W's bias, exact GELU):

    h+  = base + s·B+A+x          h− = base + s·B−A−x
    a   = softmax([Qx·Kh+, Qx·Kh−])_neg − 1/2
    out = base + (1−a)·V(h+) + a·V(h−),   V(h) = C2·gelu(C1·h)

Rearranged form, which is exactly equal, with z± = A±x of width r:

- The softmax of two scores is the sigmoid of their difference. base cancels in the difference, which has rank 2r:
  a = σ(E x · [z+, z−]) − 1/2. E = (s·K·[−B+, B−])ᵀ·Q is computed first, so Q and K are not applied to tokens.
- C1·h± = C1·base + (s·C1·B±)·z±, so C1·base is computed once.
- C2 is linear, so it is applied once, to (1−a)·gelu(u+) + a·gelu(u−), where u± = C1·h±.

Without gradients the products of weights are computed once (see `frozen`).
With `unit_value: identity` there is no V: out = base + (1−a)·s·B+A+x + a·s·B−A−x. With `delta`, V is applied to the
adapters' outputs alone, each divided by its root mean square: V(s·B±A±x / rms). `unit_gate` changes the range of a; see
`forms`. Both are ablations of this package, not the paper's.

Deviation from the reference code: with dropout, A+ and A− use the same mask (there they use two), and Q gets x without
dropout. The unit does not support second derivatives.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from peft.tuners import lora
from peft.tuners.lora.layer import LoraVariant
from torch import Tensor, nn

from nsad_cli.models.nat.config import NatConfig
from nsad_cli.models.nat.forms import PAPER, UnitForm
from nsad_cli.models.nat.frozen import FrozenAdapter
from nsad_cli.models.nat.lora_gradients import lora_output
from nsad_cli.models.nat.unit_gradients import unit_output

UNIT_LAYERS = ("lora_unit_q", "lora_unit_k", "lora_unit_c1", "lora_unit_c2")


class NatLinear(lora.Linear):
    """A linear layer with LoRA and NAT adapters on one base weight."""

    in_features: int
    out_features: int
    lora_unit_q: nn.ModuleDict
    lora_unit_k: nn.ModuleDict
    lora_unit_c1: nn.ModuleDict
    lora_unit_c2: nn.ModuleDict

    # One flat ModuleDict per matrix: PEFT removes `.NAME` from the keys it saves and inserts it before `.weight`.
    adapter_layer_names: tuple[str, ...] = (*lora.Linear.adapter_layer_names, *UNIT_LAYERS)

    def get_base_layer(self) -> nn.Linear:
        """Return the layer that is adapted."""
        layer = super().get_base_layer()
        assert isinstance(layer, nn.Linear)
        return layer

    def update_layer(self, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Add an adapter; PEFT also calls this from the constructor."""
        if not hasattr(self, UNIT_LAYERS[0]):
            for name in UNIT_LAYERS:
                setattr(self, name, nn.ModuleDict())
            self.nat_alpha: dict[str, Tensor] = {}
            self.nat_negative: dict[str, str] = {}
            self.nat_form: dict[str, UnitForm] = {}
            self.nat_record = False
            self.nat_frozen: dict[str, FrozenAdapter] = {}
        self._path = str(kwargs.get("target_name", ""))
        super().update_layer(adapter_name, *args, **kwargs)

    def resolve_lora_variant(self, *, config: Any, **kwargs: Any) -> LoraVariant | None:
        """Return NatVariant for a NatConfig on a layer with an integration unit, else PEFT's own choice."""
        if isinstance(config, NatConfig) and (
            config.unit_targets is None or self._path.rpartition(".")[2] in config.unit_targets
        ):
            return NatVariant()
        return super().resolve_lora_variant(config=config, **kwargs)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Compute the layer's output [..., d_out] for inputs x [..., d_in].

        A single LoRA or NAT adapter on unquantised weights is computed in the dtype of x; PEFT computes any other case.
        """
        flat = x.reshape(-1, x.shape[-1])
        frozen = None if args or kwargs else self._frozen_adapter(flat)
        if frozen is not None:
            return frozen.output(flat).view(*x.shape[:-1], self.out_features)
        name = None if args or kwargs else self._adapter_to_fuse(x)
        if name is not None:
            return self._fused(name, flat).view(*x.shape[:-1], self.out_features)
        output: Tensor = super().forward(x, *args, **kwargs)
        return output

    def _fused(self, name: str, x: Tensor) -> Tensor:
        """Compute the output [N, d_out] of an adapter, and keep the products of its weights if they are frozen."""
        base, matrices, rate = self.get_base_layer(), unit_matrices(self, name), dropout_rate(self, name)
        s_neg = self.scaling[self.nat_negative.get(name, name)]
        if any(weight.requires_grad for weight in matrices.values()):
            self.forget_frozen(name)
        elif not (torch.is_grad_enabled() or self.training or any(w.is_inference() for w in matrices.values())):
            self.nat_frozen[name] = FrozenAdapter(
                base, matrices, self.scaling[name], s_neg, self.nat_form.get(name, PAPER)
            )
            return self.nat_frozen[name].output(x)
        if name in self.nat_negative:
            return nat_output(self, name, x, F.linear(x, base.weight, base.bias), rate)
        return lora_output(x, base.weight, base.bias, matrices["a_pos"], matrices["b_pos"], self.scaling[name], rate)

    def _frozen_adapter(self, x: Tensor) -> FrozenAdapter | None:
        """Return the active adapter with its products, if they are known and apply to x."""
        if torch.is_grad_enabled() or self.training or self._disable_adapters or len(self._active_adapter) != 1:
            return None
        frozen = self.nat_frozen.get(self._active_adapter[0])
        if frozen is None or self.merged_adapters or not frozen.fits(x):
            return None
        name = self._active_adapter[0]
        negative = self.nat_negative.get(name, name)
        same = (
            name in self.lora_A
            and negative in self.lora_A
            and frozen.belongs_to(
                weight_of(self.lora_A, name),
                weight_of(self.lora_A, negative),
                self.scaling[name],
                self.scaling[negative],
            )
        )
        return frozen if same else None

    def forget_frozen(self, name: str) -> None:
        """Forget the products of an adapter that is trained or deleted, and those that are computed from it."""
        for other in (name, *(nat for nat, negative in self.nat_negative.items() if negative == name)):
            self.nat_frozen.pop(other, None)

    def _adapter_to_fuse(self, x: Tensor) -> str | None:
        """Return the active adapter if `forward` computes it without PEFT, else None."""
        base, names = self.base_layer, self.active_adapters
        if self.disable_adapters or self.merged or len(names) != 1 or names[0] not in self.lora_A:
            return None
        plain = type(base) is nn.Linear and base.weight.dtype == x.dtype
        plain = plain and not any(parameter.requires_grad for parameter in base.parameters())
        if not plain or torch.is_autocast_enabled(x.device.type):
            return None
        variant = self.lora_variant.get(names[0])
        known = variant is None or type(variant) is NatVariant  # a subclass may compute something else
        return str(names[0]) if known and self.lora_B[names[0]].bias is None else None

    def merge(self, *args: Any, **kwargs: Any) -> None:
        """Merge LoRA adapters into the base weight.

        Raises:
            ValueError: One of them is NAT's, whose gate depends on the input, so that no weight equals it.
        """
        names = kwargs.get("adapter_names") or (args[1] if len(args) > 1 else None) or self.active_adapters
        if any(name in self.nat_negative for name in names):
            raise ValueError("a NAT adapter cannot be merged: its output is not linear in the input")
        super().merge(*args, **kwargs)


class NatVariant(LoraVariant):
    """Initialisation and forward pass of a NAT adapter, by PEFT's interface for LoRA variants."""

    def supports_lora_conversion(self) -> bool:
        """Return False: no LoRA is equal to a NAT adapter."""
        return False

    @staticmethod
    def init(  # type: ignore[override]  # PEFT passes its config too, and calls it for layers that chose it
        module: NatLinear, adapter_name: str, config: NatConfig, **_: Any
    ) -> None:
        """Add the unit, which at first has no effect: C2 = 0 (or Q = 0 for `identity`), and PEFT sets B+ = 0.

        With `identity` and another gate than `learned` it starts with the negative adapter at a share of up to 1/2.
        """
        if config.negative not in module.lora_A:
            raise ValueError(f"the negative adapter `{config.negative}` does not cover this layer")
        size, like = config.unit_size, weight_of(module.lora_A, adapter_name)
        shapes = {"lora_unit_q": (module.in_features, size), "lora_unit_k": (module.out_features, size)}
        if config.unit_value != "identity":
            shapes |= {"lora_unit_c1": (module.out_features, size), "lora_unit_c2": (size, module.out_features)}
        zero = "lora_unit_q" if config.unit_value == "identity" else "lora_unit_c2"
        for name, (inputs, outputs) in shapes.items():
            layer = nn.Linear(inputs, outputs, bias=False)
            if name == zero:
                nn.init.zeros_(layer.weight)
            getattr(module, name)[adapter_name] = layer.to(device=like.device, dtype=like.dtype)
        module.nat_negative[adapter_name] = config.negative
        module.nat_form[adapter_name] = UnitForm(config.unit_value, config.unit_gate)

    @staticmethod
    def forward(  # type: ignore[override]  # PEFT calls it for layers that chose it
        module: NatLinear, active_adapter: str, x: Tensor, result: Tensor, **_: Any
    ) -> Tensor:
        """Compute NAT's output [..., d_out] for inputs x [..., d_in] and base outputs `result` [..., d_out]."""
        x_flat, result_flat = x.reshape(-1, x.shape[-1]), result.reshape(-1, result.shape[-1])
        out = nat_output(module, active_adapter, x_flat, result_flat, dropout_rate(module, active_adapter))
        return out.view(result.shape)


def nat_output(module: NatLinear, name: str, x: Tensor, result: Tensor, rate: float) -> Tensor:
    """Compute the unit's output [N, d_out] for x [N, d_in] and the base's output [N, d_out], and record the mean gate.

    The computation is in the dtype of autocast, or of x.
    """
    kind, negative = x.device.type, module.nat_negative[name]
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    scales = module.scaling[name], module.scaling[negative]
    out, a = unit_output(x.to(dtype), result, unit_matrices(module, name), *scales, rate, module.nat_form[name])
    if module.nat_record and module.training:
        module.nat_alpha[name] = a.detach().mean()
    return out


def dropout_rate(module: NatLinear, adapter: str) -> float:
    """Return the rate of an adapter's dropout in the module's mode: 0 outside training."""
    dropout = module.lora_dropout[adapter]
    return dropout.p if isinstance(dropout, nn.Dropout) and dropout.training else 0.0


def unit_matrices(module: NatLinear, adapter: str) -> dict[str, Tensor]:
    """Collect a NAT adapter's weights: a_pos, b_pos, a_neg, b_neg, q, k, c1 and c2, all [out, in].

    c1 and c2 are missing for `unit_value: identity`; a layer without a unit has only a_pos and b_pos.
    """
    found = {"a_pos": weight_of(module.lora_A, adapter), "b_pos": weight_of(module.lora_B, adapter)}
    if adapter in module.nat_negative:
        negative = module.nat_negative[adapter]
        found |= {"a_neg": weight_of(module.lora_A, negative), "b_neg": weight_of(module.lora_B, negative)}
    own = {name.removeprefix("lora_unit_"): getattr(module, name) for name in UNIT_LAYERS}
    return found | {name: weight_of(layers, adapter) for name, layers in own.items() if adapter in layers}


def weight_of(layers: nn.ModuleDict, adapter: str) -> Tensor:
    """Return the weight of an adapter's layer."""
    weight = layers[adapter].weight
    assert isinstance(weight, Tensor)
    return weight
