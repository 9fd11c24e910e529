"""The layers' own computation against PEFT's and the literal unit's: LoRA with gradients, and frozen adapters."""

from __future__ import annotations

import pytest
import torch
from peft.tuners import lora
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nsad_cli.models.nat.layer import NatLinear, unit_matrices, weight_of
from nsad_cli.models.nat.lora_gradients import lora_output
from tests.helpers.literal_unit import literal_output
from tests.helpers.nat_layers import nat_layer

MAX_OPERATIONS = 20


def lora_layer(dropout: float = 0.0) -> NatLinear:
    """The layer with its LoRA, the negative adapter, active and trained."""
    layer = nat_layer(dropout=dropout)
    layer._active_adapter = ["negative"]
    for module in (layer.lora_A["negative"], layer.lora_B["negative"]):
        module.requires_grad_(True)
    return layer


def gradients(output: Tensor, leaves: list[Tensor], upstream: Tensor) -> list[Tensor]:
    return [output, *torch.autograd.grad(output, leaves, upstream)]


def test_a_lora_equals_pefts() -> None:
    layer = lora_layer()
    x = torch.randn(3, 7, 64, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(3, 7, 64, dtype=torch.float64)
    matrices = unit_matrices(layer, "negative")
    leaves = [x, matrices["a_pos"], matrices["b_pos"]]
    ours = gradients(layer(x), leaves, upstream)
    theirs = gradients(lora.Linear.forward(layer, x), leaves, upstream)
    assert all((got - wanted).abs().max() < 1e-12 for got, wanted in zip(ours, theirs, strict=True))


def test_dropout_has_one_mask_in_both_passes() -> None:
    torch.manual_seed(0)
    x, weight, a, b = (torch.randn(shape, dtype=torch.float64) for shape in ((5, 6), (4, 6), (2, 6), (4, 2)))
    leaves = [tensor.requires_grad_() for tensor in (x, a, b)]
    torch.manual_seed(3)
    ours = lora_output(x, weight, None, a, b, 2.0, 0.5)
    torch.manual_seed(3)
    dropped = torch.native_dropout(x, 0.5, True)[0]
    upstream = torch.randn(5, 4, dtype=torch.float64)
    literal = x @ weight.T + 2.0 * dropped @ a.T @ b.T
    pairs = zip(gradients(ours, leaves, upstream), gradients(literal, leaves, upstream), strict=True)
    assert all((got - wanted).abs().max() < 1e-12 for got, wanted in pairs)


def test_a_lora_on_a_bfloat16_base_has_float32_gradients() -> None:
    x = torch.randn(5, 6).bfloat16().requires_grad_()
    weight, a, b = (
        torch.randn(4, 6).bfloat16(),
        torch.randn(2, 6, requires_grad=True),
        torch.randn(4, 2).requires_grad_(),
    )
    found = gradients(lora_output(x, weight, None, a, b, 2.0, 0.0), [x, a, b], torch.ones(5, 4).bfloat16())
    assert [part.dtype for part in found] == [torch.bfloat16, torch.bfloat16, torch.float32, torch.float32]


@pytest.mark.parametrize("value", ["mlp", "identity"])
def test_a_frozen_adapter_follows_its_weights(value: str) -> None:
    layer = nat_layer(value=value, negative_r=4).eval().requires_grad_(False)
    x = torch.randn(5, 64, dtype=torch.float64)

    def agrees() -> bool:
        expected = literal_output(x, layer.base_layer(x), unit_matrices(layer, "nat"), 2.0, 4.0)
        with torch.no_grad():
            return bool((layer(x) - expected).abs().max() < 1e-10)

    assert agrees()
    known = layer.nat_frozen["nat"]
    assert agrees()
    assert layer.nat_frozen["nat"] is known
    for weight in unit_matrices(layer, "nat").values():
        with torch.no_grad():
            weight.mul_(1.1)
        assert agrees()
    nn.init.normal_(layer.get_base_layer().weight)
    assert agrees()


@pytest.mark.parametrize("trained", ["negative", "nat"])
def test_training_drops_what_was_computed_of_frozen_weights(trained: str) -> None:
    """A fused optimizer changes weights without counting it."""
    layer = nat_layer().eval().requires_grad_(False)
    x = torch.randn(5, 64, dtype=torch.float64)
    with torch.no_grad():
        before = layer(x)
    weights = [weight_of(layer.lora_A, trained), weight_of(layer.lora_B, trained)]
    layer._active_adapter = [trained]
    optimizer = torch.optim.AdamW([weight.requires_grad_() for weight in weights], lr=0.1, fused=True)
    layer(x).square().sum().backward()
    optimizer.step()
    layer._active_adapter = ["nat"]
    layer.requires_grad_(False)
    with torch.no_grad():
        after = layer(x)
    expected = literal_output(x, layer.base_layer(x), unit_matrices(layer, "nat"), 2.0, 2.0)
    assert (after - expected).abs().max() < 1e-10
    assert (after - before).abs().max() > 1e-3


def test_products_are_those_of_the_adapter_that_has_the_name_now() -> None:
    layer = nat_layer().eval().requires_grad_(False)
    x = torch.randn(5, 64, dtype=torch.float64)

    def agrees() -> bool:
        scales = layer.scaling["nat"], layer.scaling["negative"]
        expected = literal_output(x, layer.base_layer(x), unit_matrices(layer, "nat"), *scales)
        with torch.no_grad():
            return bool((layer(x) - expected).abs().max() < 1e-10)

    assert agrees()
    layer.scaling["nat"] = 3.0
    assert agrees()
    layer.lora_A["negative"].weight = nn.Parameter(torch.randn(8, 64, dtype=torch.float64), requires_grad=False)
    assert agrees()


def test_a_frozen_adapter_of_bfloat16_is_no_worse_than_the_literal_form() -> None:
    layer = nat_layer(dtype=torch.bfloat16).eval().requires_grad_(False)
    x = torch.randn(64, 64).bfloat16()
    matrices = unit_matrices(layer, "nat")
    wide = literal_output(
        x.double(),
        nn.functional.linear(x.double(), layer.get_base_layer().weight.double(), layer.get_base_layer().bias.double()),
        {name: value.double() for name, value in matrices.items()},
        2.0,
        2.0,
    )
    with torch.no_grad():
        literal = literal_output(x, layer.base_layer(x), matrices, 2.0, 2.0)
        assert (layer(x).double() - wide).norm() <= 1.5 * (literal.double() - wide).norm()


class _Counter(TorchDispatchMode):
    """Counts the operations that compute or copy; views do not count."""

    VIEWS = ("view", "reshape", "t.", "transpose", "split", "slice", "detach", "_unsafe_view", "alias", "expand")

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no annotations here
        self.operations: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = str(func).removeprefix("aten.")
        if not name.startswith(self.VIEWS):
            self.operations.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_step_of_generation_takes_few_operations(dtype: torch.dtype) -> None:
    layer = nat_layer(dtype=dtype).eval().requires_grad_(False)
    x = torch.randn(4, 1, 64).to(dtype)
    with torch.inference_mode():
        layer(x)
        with _Counter() as counter:
            layer(x)
    assert 0 < len(counter.operations) <= MAX_OPERATIONS, counter.operations
