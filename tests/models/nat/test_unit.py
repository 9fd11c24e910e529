"""The integration unit's own gradients: low precision, dropout, checkpointing, and whatever needs no gradient."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import LlamaConfig, LlamaForCausalLM

from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.nat.config import AdapterSettings
from nsad_cli.models.nat.layer import NatLinear, NatVariant, unit_matrices, weight_of
from tests.helpers.literal_unit import literal_output
from tests.helpers.nat_layers import nat_layer

if TYPE_CHECKING:
    from collections.abc import Callable

Grads = list[Tensor | None]
TOKENS = 50


def inputs(layer: NatLinear, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """x and the base's output, both wanting gradients, and the gradient of the unit's output."""
    x = torch.randn(2, TOKENS // 2, layer.in_features, dtype=dtype, requires_grad=True)
    result = torch.randn(2, TOKENS // 2, layer.out_features, dtype=dtype, requires_grad=True)
    return x, result, torch.randn(result.shape, dtype=dtype)


def trained(layer: NatLinear) -> list[Tensor]:
    """The weights that NAT trains."""
    return [weight for name, weight in unit_matrices(layer, "nat").items() if "neg" not in name]


def close(got: Tensor, expected: Tensor) -> bool:
    """Equal to 1e-10, of the largest value where that is above 1."""
    return bool((got - expected).abs().max() < 1e-10 * max(1.0, expected.abs().max().item()))


def error(got: Tensor, expected: Tensor) -> float:
    """Relative to the size of what is expected: |got − expected| / |expected|, over all elements."""
    return float((got.detach().double() - expected.detach()).norm() / expected.detach().norm())


def low_precision_errors(mode: str, value: str, d_in: int, d_out: int, seed: int) -> list[tuple[float, float]]:
    """Errors of ours and of the literal form against float64: of the output, then of every gradient.

    Weights, inputs and the base's output are the same in all three: only what is computed from them differs.
    """
    layer = nat_layer(
        d_in, d_out, value=value, seed=seed, dtype=torch.bfloat16 if mode == "bfloat16" else torch.float32
    )
    x, result, gradient = inputs(layer, torch.float32 if mode == "autocast" else torch.bfloat16)
    x = x.detach().to(weight_of(layer.lora_A, "nat").dtype).requires_grad_()  # as PEFT casts it
    m = unit_matrices(layer, "nat")
    wide = {name: weight.detach().double().requires_grad_("neg" not in name) for name, weight in m.items()}
    wide_x, wide_result = (tensor.detach().double().requires_grad_() for tensor in (x, result))

    def outcome(out: Tensor, x: Tensor, result: Tensor, m: dict[str, Tensor]) -> list[Tensor]:
        leaves = [x, result, *(weight for name, weight in m.items() if "neg" not in name)]
        return [out, *torch.autograd.grad(out, leaves, gradient.to(out.dtype))]

    expected = outcome(literal_output(wide_x, wide_result, wide, 2.0, 2.0), wide_x, wide_result, wide)
    with torch.autocast("cpu", torch.bfloat16) if "autocast" in mode else contextlib.nullcontext():
        ours, literal = NatVariant.forward(layer, "nat", x, result), literal_output(x, result, m, 2.0, 2.0)
    pairs = zip(outcome(ours, x, result, m), outcome(literal, x, result, m), expected, strict=True)
    return [(error(got, reference), error(other, reference)) for got, other, reference in pairs]


@pytest.mark.parametrize("value", ["mlp", "identity"])
@pytest.mark.parametrize("mode", ["bfloat16", "autocast", "autocast, bfloat16 base"])
@pytest.mark.parametrize(("d_in", "d_out"), [(64, 64), (96, 32), (32, 128)])
def test_low_precision_is_no_worse_than_the_literal_form(mode: str, value: str, d_in: int, d_out: int) -> None:
    """Output and gradients: an error of at most 1.5 × the literal form's, each the mean of six seeds."""
    for pairs in zip(*(low_precision_errors(mode, value, d_in, d_out, seed) for seed in range(6)), strict=True):
        ours, literal = (sum(errors) / 6 for errors in zip(*pairs, strict=True))
        assert ours <= 1.5 * literal


@pytest.mark.parametrize("value", ["mlp", "identity"])
def test_gradients_under_dropout_equal_those_of_the_literal_form(value: str) -> None:
    """The mask is one, torch.native_dropout's on x [tokens, d_in], shared by A+ and A−; Q sees x itself."""
    layer = nat_layer(64, 32, dropout=0.5, value=value)
    x, result, gradient = inputs(layer)
    leaves = [x, result, *trained(layer)]
    torch.manual_seed(7)
    ours = NatVariant.forward(layer, "nat", x, result)
    torch.manual_seed(7)
    dropped = torch.native_dropout(x.flatten(0, 1), 0.5, True)[0].view(x.shape)
    assert 0.4 < (dropped == 0).double().mean() < 0.6
    literal = literal_output(x, result, unit_matrices(layer, "nat"), 2.0, 2.0, dropped)
    assert close(ours, literal)
    expected = torch.autograd.grad(literal, leaves, gradient)
    assert all(map(close, torch.autograd.grad(ours, leaves, gradient), expected))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("value", ["mlp", "identity"])
def test_gradients_under_checkpointing_equal_those_without(value: str, dropout: float) -> None:
    layer = nat_layer(dropout=dropout, value=value)
    x, _, gradient = inputs(layer)
    leaves = [x, *trained(layer)]
    found = []
    calls: list[Callable[[Tensor], Tensor]] = [layer, lambda x: checkpoint(layer, x, use_reentrant=False)]
    for call in calls:
        torch.manual_seed(7)
        found.append(torch.autograd.grad(call(x), leaves, gradient))
    assert all(map(torch.equal, *found))


def test_a_model_with_checkpointed_blocks_trains_alike() -> None:
    shape: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    torch.manual_seed(0)
    adapters = Adapters(LlamaForCausalLM(LlamaConfig(vocab_size=97, num_hidden_layers=2, **shape)))
    adapters.add_lora("negative", AdapterSettings(dropout=0.3), 0)
    adapters.add_nat("nat", AdapterSettings(dropout=0.3, unit_size=16), "negative", 1)
    for _, parameter in [*adapters.parameters_of("negative"), *adapters.parameters_of("nat")]:
        nn.init.normal_(parameter, std=0.2)
    adapters.train_only("nat")
    parameters = [parameter for _, parameter in adapters.parameters_of("nat")]
    found = []
    for on in (False, True):
        if on:
            enable = getattr(adapters.base, "activation_checkpointing_enable", None)  # transformers 5.23
            (enable or adapters.base.gradient_checkpointing_enable)({"use_reentrant": False})
        adapters.model.train()
        torch.manual_seed(7)
        with adapters.use("nat"):
            logits = adapters.model(input_ids=torch.arange(1, 61).view(2, 30), use_cache=False).logits
            found.append(torch.autograd.grad(logits.square().mean(), parameters))
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-9) for a, b in zip(*found, strict=True))
    assert all(gradient.abs().sum() > 0 for gradient in found[0])


@pytest.mark.parametrize("value", ["mlp", "identity"])
@pytest.mark.parametrize("wanted", ["x", "result", "weights", "x and result", "negative"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_only_some_of_it_may_need_gradients(wanted: str, value: str, dropout: float) -> None:
    """The first layer's input needs none, a frozen unit's weights need none, and a negative adapter may."""
    layer = nat_layer(64, 32, value=value, dropout=dropout, negative_r=4)
    x, result, gradient = inputs(layer)
    m = unit_matrices(layer, "nat")
    negative = [weight for name, weight in m.items() if "neg" in name]
    x.requires_grad_("x" in wanted)
    result.requires_grad_("result" in wanted)
    for weight in trained(layer):
        weight.requires_grad_(wanted == "weights")
    for weight in negative:
        weight.requires_grad_(wanted == "negative")
    wants = [leaf for leaf in (x, result, *m.values()) if leaf.requires_grad]
    torch.manual_seed(7)
    ours = NatVariant.forward(layer, "nat", x, result)
    torch.manual_seed(7)
    dropped = torch.native_dropout(x.flatten(0, 1), dropout, True)[0].view(x.shape) if dropout else x
    literal = literal_output(x, result, m, 2.0, 4.0, dropped)  # alpha 16 over ranks 8 and 4
    expected = torch.autograd.grad(literal, wants, gradient)
    assert close(ours, literal)
    assert wants
    assert all(map(close, torch.autograd.grad(ours, wants, gradient), expected))


@pytest.mark.parametrize("value", ["mlp", "identity"])
def test_without_gradients_few_tokens_and_many_give_the_same(value: str) -> None:
    layer = nat_layer(64, 32, value=value).eval()
    x = torch.randn(TOKENS, 64, dtype=torch.float64)
    with_gradients = layer(x)
    with torch.no_grad():
        assert close(layer(x), with_gradients)
        assert all(close(layer(row[None]), out[None]) for row, out in zip(x, with_gradients, strict=True))
        assert layer(x[:0]).shape == (0, 32)


@pytest.mark.parametrize("value", ["mlp", "identity"])
def test_recording_the_gate_changes_nothing_else(value: str) -> None:
    layer = nat_layer(value=value)
    x, _, gradient = inputs(layer)
    leaves = [x, *trained(layer)]
    plain = layer(x)
    layer.nat_record = True
    recorded = layer(x)
    assert torch.equal(plain, recorded)
    m = unit_matrices(layer, "nat")
    h_pos, h_neg = (2.0 * x @ m[f"a_{side}"].T @ m[f"b_{side}"].T for side in ("pos", "neg"))
    gate = torch.sigmoid(((x @ m["q"].T) * ((h_neg - h_pos) @ m["k"].T)).sum(-1)) - 0.5
    assert not layer.nat_alpha["nat"].requires_grad
    assert close(layer.nat_alpha["nat"], gate.mean())
    for got, expected in zip(
        torch.autograd.grad(recorded, leaves, gradient), torch.autograd.grad(plain, leaves, gradient), strict=True
    ):
        assert torch.equal(got, expected)


def test_an_untrained_unit_changes_nothing_where_gradients_flow() -> None:
    layer = nat_layer()
    with torch.no_grad():
        weight_of(layer.lora_unit_c2, "nat").zero_()
    x, _, _ = inputs(layer)
    assert torch.equal(layer(x), layer.base_layer(x))


def test_gradients_of_gradients_are_refused() -> None:
    layer = nat_layer()
    x, _, _ = inputs(layer)
    (gradient,) = torch.autograd.grad(layer(x).square().sum(), [x], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
