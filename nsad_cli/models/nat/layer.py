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

The backward pass keeps x, base, C1·base, z± and Ex, and recomputes all else at little cost.
With `unit_value: identity` there is no V: out = base + (1−a)·s·B+A+x + a·s·B−A−x.

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
from torch.autograd.function import once_differentiable

from nsad_cli.models.nat.config import NatConfig
from nsad_cli.models.nat.unit import gate, hidden, mix_hidden, weigh_projections

UNIT_LAYERS = ("lora_unit_q", "lora_unit_k", "lora_unit_c1", "lora_unit_c2")
# For fewer tokens without gradients, as in a step of generation, the products of weights cost more than they save.
FEW_TOKENS = 48


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
            self.nat_record = False
        self._path = str(kwargs.get("target_name", ""))
        super().update_layer(adapter_name, *args, **kwargs)

    def resolve_lora_variant(self, *, config: Any, **kwargs: Any) -> LoraVariant | None:
        """Return NatVariant for a NatConfig on a layer with an integration unit, else PEFT's own choice."""
        if isinstance(config, NatConfig) and (
            config.unit_targets is None or self._path.rpartition(".")[2] in config.unit_targets
        ):
            return NatVariant()
        return super().resolve_lora_variant(config=config, **kwargs)

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
        """Add the unit, which at first has no effect: C2 = 0 (or Q = 0 for `identity`), and PEFT sets B+ = 0."""
        if config.negative not in module.lora_A:
            raise ValueError(f"the negative adapter `{config.negative}` does not cover this layer")
        size, like = config.unit_size, weight_of(module.lora_A, adapter_name)
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
    def forward(  # type: ignore[override]  # PEFT calls it for layers that chose it
        module: NatLinear, active_adapter: str, x: Tensor, result: Tensor, **_: Any
    ) -> Tensor:
        """Compute NAT's output [..., d_out] for inputs x [..., d_in] and base outputs `result` [..., d_out]."""
        m = unit_matrices(module, active_adapter)
        s_pos, s_neg = module.scaling[active_adapter], module.scaling[module.nat_negative[active_adapter]]
        dropout = module.lora_dropout[active_adapter]
        rate = dropout.p if isinstance(dropout, nn.Dropout) and dropout.training else 0.0
        few = x.numel() < FEW_TOKENS * x.shape[-1]
        if few and not (torch.is_grad_enabled() or rate or module.nat_record):
            return literal_output(x, result, m, s_pos, s_neg)
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else m["a_pos"].dtype
        x_flat, result_flat = x.reshape(-1, x.shape[-1]).to(dtype), result.reshape(-1, result.shape[-1])
        with torch.autocast(kind, enabled=False):  # products of weights are computed in their own dtype, then cast
            a_pos, a_neg, b_pos, b_neg = m["a_pos"], m["a_neg"], s_pos * m["b_pos"].T, s_neg * m["b_neg"].T
            b, ranks = torch.cat([b_pos, b_neg]), [len(b_pos), len(b_neg)]
            k_pos, k_neg = F.linear(b, m["k"]).split(ranks)
            down = a_pos.to(dtype), a_neg.to(dtype), (torch.cat([-k_pos, k_neg]) @ m["q"]).to(dtype)
            if "c1" in m:
                p_pos, p_neg = F.linear(b, m["c1"]).to(dtype).split(ranks)
                c1, c2 = m["c1"].to(dtype), m["c2"].to(dtype)
                # torch does not annotate `apply`
                unit: tuple[Tensor, Tensor] = _Unit.apply(  # type: ignore[no-untyped-call]
                    x_flat, result_flat, *down, p_pos.T, p_neg.T, c1, c2, rate
                )
            else:
                b_pos, b_neg = b.to(dtype).split(ranks)
                unit = _identity_unit(x_flat, result_flat, torch.cat(down), b_pos, b_neg, rate)
        out, a = unit
        if module.nat_record:
            module.nat_alpha[active_adapter] = a.detach().mean()
        return out.view(result.shape)


def unit_matrices(module: NatLinear, adapter: str) -> dict[str, Tensor]:
    """Collect a NAT adapter's weights by the names of `literal_output`.

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


class _Unit(torch.autograd.Function):
    """The unit with V for N tokens: x [N, d_in] and result [N, d_out] → output [N, d_out] and gate a [N, 1].

    a_pos, a_neg and e_rows are A+, A− and E; p_pos and p_neg [size, r] are s·C1·B±; c1 and c2 are weights of layers.
    All except result have the same dtype; rate is that of the dropout. The gate has no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        result: Tensor,
        a_pos: Tensor,
        a_neg: Tensor,
        e_rows: Tensor,
        p_pos: Tensor,
        p_neg: Tensor,
        c1: Tensor,
        c2: Tensor,
        rate: float,
    ) -> tuple[Tensor, Tensor]:
        low, mask = _project(x, torch.cat([a_pos, a_neg, e_rows]), rate)
        z, e = low.chunk(2, -1)
        a = gate(z, e)
        base = result.to(x.dtype)
        shared = base @ c1.T
        u_pos, u_neg = hidden(shared, z.split([len(a_pos), len(a_neg)], -1), p_pos, p_neg)
        out = _add_product(result, mix_hidden(u_pos, u_neg, a.to(x.dtype)), c2.T)
        ctx.save_for_backward(x, mask, base, low, shared, a, a_pos, a_neg, e_rows, p_pos, p_neg, c1, c2)
        ctx.rate = rate
        ctx.mark_non_differentiable(a)
        ctx.set_materialize_grads(False)
        return out, a

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
        x, mask, base, low, shared, wide_a, a_pos, a_neg, e_rows, p_pos, p_neg, c1, c2 = ctx.saved_tensors
        need_x, need_result, *need_down, _, _, need_c1, need_c2, _ = ctx.needs_input_grad
        down = torch.cat([a_pos, a_neg, e_rows])
        z, e = low.chunk(2, -1)
        z_pos, z_neg = z.split([len(a_pos), len(a_neg)], -1)
        a, g_out = wide_a.to(x.dtype), g.to(x.dtype)
        with torch.autocast(x.device.type, enabled=False):
            u_pos, u_neg = hidden(shared, (z_pos, z_neg), p_pos, p_neg)
            v_pos, v_neg = F.gelu(u_pos), F.gelu(u_neg)
            g_mixed = g_out @ c2
            g_c2 = g_out.T @ torch.lerp(v_pos, v_neg, a) if need_c2 else None
            g_score = (g_mixed * (v_neg - v_pos)).sum(-1, keepdim=True, dtype=wide_a.dtype) * (0.25 - wide_a.square())
            g_neg = g_mixed * a
            g_pos = torch.ops.aten.gelu_backward(g_mixed - g_neg, u_pos)
            g_neg = torch.ops.aten.gelu_backward(g_neg, u_neg)
            g_shared = g_pos + g_neg
            g_low = g_score.to(x.dtype) * torch.cat([e, z], -1)
            g_low[:, : z.shape[-1]] += torch.cat([g_pos @ p_pos, g_neg @ p_neg], -1)
            g_down: tuple[Tensor | None, ...] = (None, None, None)
            if any(need_down):
                g_down = _gradient_of_down(g_low, x, mask, ctx.rate).split([len(a_pos), len(a_neg), len(e_rows)])
            return (
                _gradient_of_x(g_low, down, mask, ctx.rate) if need_x else None,
                _add_product(g, g_shared, c1) if need_result else None,
                *g_down,
                g_pos.T @ z_pos,
                g_neg.T @ z_neg,
                g_shared.T @ base if need_c1 else None,
                g_c2,
                None,
            )


def _identity_unit(
    x: Tensor, result: Tensor, down: Tensor, b_pos: Tensor, b_neg: Tensor, rate: float
) -> tuple[Tensor, Tensor]:
    """The unit without V, like _Unit; down is A+, A− and E, and b_pos and b_neg [r, d_out] are (s·B±)ᵀ."""
    low, _ = _project(x, down, rate)
    z, e = low.chunk(2, -1)
    a = gate(z, e)
    parts = weigh_projections(z.split([len(b_pos), len(b_neg)], -1), a.to(x.dtype))
    return result + parts @ torch.cat([b_pos, b_neg]), a


def _project(x: Tensor, down: Tensor, rate: float) -> tuple[Tensor, Tensor | None]:
    """Compute [z+, z−, Ex], and x's dropout mask if there is dropout, which applies to z+ and z− only."""
    if not rate:
        return x @ down.T, None
    dropped, mask = torch.native_dropout(x, rate, True)
    half = down.shape[0] // 2
    return torch.cat([dropped @ down[:half].T, x @ down[half:].T], -1), mask


def _gradient_of_x(g_low: Tensor, down: Tensor, mask: Tensor | None, rate: float) -> Tensor:
    if mask is None:
        return g_low @ down
    (g_z, g_e), (down_z, down_e) = g_low.chunk(2, -1), down.chunk(2)
    return _dropped(g_z @ down_z, mask, rate).addmm_(g_e, down_e)


def _gradient_of_down(g_low: Tensor, x: Tensor, mask: Tensor | None, rate: float) -> Tensor:
    if mask is None:
        return g_low.T @ x
    g_z, g_e = g_low.chunk(2, -1)
    return torch.cat([g_z.T @ _dropped(x, mask, rate), g_e.T @ x])


def _dropped(values: Tensor, mask: Tensor, rate: float) -> Tensor:
    """Apply dropout with a stored mask, which takes one byte per value."""
    return (values * mask).mul_(1 / (1 - rate))


def _add_product(start: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Compute start + left·right, in one pass over memory if the dtypes allow it."""
    return torch.addmm(start, left, right) if start.dtype == left.dtype else start + left @ right


def literal_output(
    x: Tensor,
    base: Tensor,
    matrices: dict[str, Tensor],
    s_pos: float,
    s_neg: float,
    dropped: Tensor | None = None,
) -> Tensor:
    """Compute the unit by its literal form: the reference for tests and benchmarks, and fastest for a few tokens.

    Args:
        x: Inputs [..., d_in].
        base: The base layer's outputs [..., d_out].
        matrices: a_pos, b_pos, a_neg, b_neg, q, k and, unless `unit_value: identity`, c1 and c2: weights [out, in].
        s_pos: alpha / r of the positive adapter.
        s_neg: alpha / r of the negative adapter.
        dropped: x after dropout, for A+ and A−; None for x itself.

    Returns:
        Outputs [..., d_out].
    """
    m, dropped = matrices, x if dropped is None else dropped
    h_pos = base + s_pos * (dropped @ m["a_pos"].T @ m["b_pos"].T)
    h_neg = base + s_neg * (dropped @ m["a_neg"].T @ m["b_neg"].T)
    query = x @ m["q"].T
    scores = torch.stack([(query * (h_pos @ m["k"].T)).sum(-1), (query * (h_neg @ m["k"].T)).sum(-1)], -1)
    gate = torch.softmax(scores, -1)[..., 1:] - 0.5
    if "c1" not in m:
        return base + (1 - gate) * (h_pos - base) + gate * (h_neg - base)
    v_pos = F.gelu(h_pos @ m["c1"].T) @ m["c2"].T
    v_neg = F.gelu(h_neg @ m["c1"].T) @ m["c2"].T
    return base + (1 - gate) * v_pos + gate * v_neg
