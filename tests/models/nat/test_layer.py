"""NAT against the design's equations, on several architectures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from nsad_cli.errors import NsadError
from nsad_cli.models.nat.adapter_files import load_adapter, save_adapter
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.nat.config import AdapterSettings
from nsad_cli.models.nat.forms import GATES, UnitForm
from nsad_cli.models.nat.layer import NatLinear, weight_of
from tests.helpers.literal_unit import literal_output
from tests.helpers.nat_models import MODELS, QV, SHAPE, logits, nat_model, shake

if TYPE_CHECKING:
    from pathlib import Path


def matrices(layer: NatLinear) -> dict[str, Tensor]:
    """The matrices of the literal reference."""
    found = {
        "a_pos": weight_of(layer.lora_A, "nat"),
        "b_pos": weight_of(layer.lora_B, "nat"),
        "a_neg": weight_of(layer.lora_A, "negative"),
        "b_neg": weight_of(layer.lora_B, "negative"),
        "q": weight_of(layer.lora_unit_q, "nat"),
        "k": weight_of(layer.lora_unit_k, "nat"),
    }
    if "nat" in layer.lora_unit_c1:
        found |= {"c1": weight_of(layer.lora_unit_c1, "nat"), "c2": weight_of(layer.lora_unit_c2, "nat")}
    return found


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), "all-linear"])
def test_untrained_it_changes_nothing(kind: str, targets: Any) -> None:
    adapters = nat_model(kind, AdapterSettings(targets=targets, dropout=0.0, unit_size=16))
    assert torch.equal(logits(adapters, "nat"), logits(adapters, None))
    assert not torch.allclose(logits(adapters, "negative"), logits(adapters, None))


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("value", ["mlp", "identity", "delta"])
def test_every_layer_equals_the_literal_equations(kind: str, value: Any, gate: Any) -> None:
    settings = AdapterSettings(targets="all-linear", dropout=0.0, unit_size=16, unit_value=value, unit_gate=gate)
    adapters = nat_model(kind, settings)
    shake(adapters, "nat", 3)
    adapters.train_only("nat")
    seen = 0
    for module in adapters.base.modules():
        if not isinstance(module, NatLinear):
            continue
        seen += 1
        x = torch.randn(2, 5, module.in_features, dtype=torch.float64, requires_grad=True)
        unused = {"q", "k"} if gate == "fixed" else set()
        leaves = [x, *(m for key, m in matrices(module).items() if "neg" not in key and key not in unused)]
        with adapters.use("nat"):
            ours = module(x)
        reference = literal_output(x, module.base_layer(x), matrices(module), 2.0, 2.0, form=UnitForm(value, gate))
        assert (ours - reference).abs().max() < 1e-10
        weight = torch.randn_like(ours)
        for got, expected in zip(
            torch.autograd.grad((ours * weight).sum(), leaves),
            torch.autograd.grad((reference * weight).sum(), leaves),
            strict=True,
        ):
            assert (got - expected).abs().max() < 1e-10 * max(1.0, expected.abs().max().item())
    assert seen == 14  # seven linear layers in each of two blocks, the head not among them


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("value", ["mlp", "delta"])
def test_every_form_starts_without_an_effect_and_is_loaded_again(value: Any, gate: Any, tmp_path: Path) -> None:
    adapters = nat_model(settings=AdapterSettings(dropout=0.0, unit_size=16, unit_value=value, unit_gate=gate))
    assert torch.equal(logits(adapters, "nat"), logits(adapters, None))
    shake(adapters, "nat", 3)
    before = logits(adapters, "nat")
    assert not torch.allclose(before, logits(adapters, None))
    save_adapter(adapters, "nat", tmp_path)
    adapters.delete("nat")
    load_adapter(adapters, "nat", tmp_path)
    assert torch.equal(logits(adapters, "nat"), before)


def test_the_gate_is_half_a_softmax_away_from_nothing() -> None:
    """With Q = 0 the gate is 0 and the identity unit is plain LoRA."""
    adapters = nat_model(settings=AdapterSettings(dropout=0.0, unit_value="identity", unit_size=4))
    shake(adapters, "nat", 3)
    layer = next(m for m in adapters.base.modules() if isinstance(m, NatLinear))
    x = torch.randn(3, layer.in_features, dtype=torch.float64)
    with torch.no_grad(), adapters.use("nat"):
        weight_of(layer.lora_unit_q, "nat").zero_()
        plain = layer.base_layer(x) + 2.0 * x @ weight_of(layer.lora_A, "nat").T @ weight_of(layer.lora_B, "nat").T
        assert torch.allclose(layer(x), plain, atol=1e-12)


def test_only_the_positive_side_learns() -> None:
    adapters = nat_model()
    shake(adapters, "nat", 3)
    adapters.train_only("nat")
    with adapters.use("nat"):
        adapters.model(input_ids=torch.arange(1, 13).view(2, 6)).logits.sum().backward()
    with_gradient = {name for name, p in adapters.model.named_parameters() if p.grad is not None}
    assert with_gradient == {name for name, _ in adapters.parameters_of("nat")}
    assert not any("negative" in name for name in with_gradient)


def test_a_graph_survives_switching_adapters() -> None:
    """NCE runs its teachers between the student's forward and backward pass."""
    adapters = nat_model()
    adapters.add_lora("nce", QV, 5)
    shake(adapters, "nce", 6)
    adapters.train_only("nce")
    ids = torch.arange(1, 13).view(2, 6)
    with adapters.use("nce"):
        loss = adapters.model(input_ids=ids).logits.square().mean()
    before = torch.autograd.grad(loss, [p for _, p in adapters.parameters_of("nce")], retain_graph=True)
    logits(adapters, "nat"), logits(adapters, "negative")
    loss.backward()
    for gradient, (_, parameter) in zip(before, adapters.parameters_of("nce"), strict=True):
        assert parameter.grad is not None
        assert torch.equal(gradient, parameter.grad)


def test_dropout_shares_one_mask_and_leaves_the_query_alone() -> None:
    adapters = nat_model(settings=AdapterSettings(dropout=0.5, unit_size=16))
    shake(adapters, "nat", 3)
    layer = next(m for m in adapters.base.modules() if isinstance(m, NatLinear))
    layer.train()
    x = torch.randn(4, layer.in_features, dtype=torch.float64)
    with torch.no_grad(), adapters.use("nat"):
        torch.manual_seed(7)
        ours = layer(x)
        torch.manual_seed(7)
        dropped = layer.lora_dropout["nat"](x)
        m = matrices(layer)
        base = layer.base_layer(x)
        h_pos = base + 2.0 * dropped @ m["a_pos"].T @ m["b_pos"].T
        h_neg = base + 2.0 * dropped @ m["a_neg"].T @ m["b_neg"].T
        query = x @ m["q"].T
        scores = torch.stack([(query * (h @ m["k"].T)).sum(-1) for h in (h_pos, h_neg)], -1)
        gate = torch.softmax(scores, -1)[:, 1:] - 0.5
        v_pos, v_neg = (nn.functional.gelu(h @ m["c1"].T) @ m["c2"].T for h in (h_pos, h_neg))
        assert torch.allclose(ours, base + (1 - gate) * v_pos + gate * v_neg, atol=1e-10)


def test_units_on_some_layers_leave_plain_lora_on_the_others() -> None:
    settings = AdapterSettings(targets="all-linear", unit_targets=("q_proj",), dropout=0.0, unit_size=8)
    adapters = nat_model(settings=settings)
    shake(adapters, "nat", 3)
    for path, module in adapters.base.named_modules():
        if isinstance(module, NatLinear):
            assert ("nat" in module.lora_unit_q) == path.endswith("q_proj")
            if not path.endswith("q_proj"):
                x = torch.randn(3, module.in_features, dtype=torch.float64)
                low = x @ weight_of(module.lora_A, "nat").T @ weight_of(module.lora_B, "nat").T
                with torch.no_grad(), adapters.use("nat"):
                    assert torch.allclose(module(x), module.base_layer(x) + 2.0 * low, atol=1e-12)
    with pytest.raises(NsadError, match="integration unit"):
        nat_model(settings=AdapterSettings(targets=("q_proj",), unit_targets=("v_proj",)))


def test_the_start_follows_from_the_seed_alone() -> None:
    one = dict(nat_model().parameters_of("nat"))
    torch.manual_seed(123)
    two = dict(nat_model().parameters_of("nat"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(parameter.abs().sum() > 0 for parameter in one.values())


def test_generating_with_a_cache_equals_generating_without() -> None:
    adapters = nat_model("qwen2")
    shake(adapters, "nat", 3)
    ids = torch.arange(1, 7).view(1, 6)
    with adapters.use("nat"), torch.no_grad():
        cached = adapters.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False, eos_token_id=96
        )
        plain = ids
        while plain.shape[1] < cached.shape[1]:
            plain = torch.cat([plain, adapters.model(input_ids=plain).logits[:, -1:].argmax(-1)], 1)
    assert torch.equal(cached, plain)


def test_alphas_are_means_over_tokens_and_cost_nothing_unless_asked() -> None:
    adapters = nat_model()
    shake(adapters, "nat", 3)
    logits(adapters, "nat")
    assert adapters.layers.alphas("nat") == {}
    adapters.layers.record_alphas(True)
    logits(adapters, "nat")
    found = adapters.layers.alphas("nat")
    assert len(found) == 4
    assert all(-0.5 <= value <= 0.5 for value in found.values())
    assert any(abs(value) > 1e-4 for value in found.values())


def test_a_negative_or_nce_folder_is_stock_peft(tmp_path: Path, tiny_llama: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(tiny_llama).eval()
    adapters = Adapters(base)
    adapters.add_lora("negative", QV, 0)
    shake(adapters, "negative", 1)
    expected = logits(adapters, "negative")
    save_adapter(adapters, "negative", tmp_path / "negative")
    stock = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_llama).eval(), tmp_path / "negative")
    with torch.no_grad():
        assert torch.equal(stock(input_ids=torch.arange(1, 13).view(2, 6)).logits, expected)
    assert {path.suffix for path in (tmp_path / "negative").iterdir()} == {".json", ".safetensors"}


def test_nat_refuses_to_be_merged() -> None:
    adapters = nat_model()
    layer = next(m for m in adapters.base.modules() if isinstance(m, NatLinear))
    with pytest.raises(ValueError, match="cannot be merged"), adapters.use("nat"):
        layer.merge()


def test_nat_with_another_negative_adapter_is_refused(tmp_path: Path) -> None:
    adapters = nat_model()
    save_adapter(adapters, "nat", tmp_path / "nat")
    shake(adapters, "negative", 99)
    adapters.delete("nat")
    with pytest.raises(NsadError, match="another negative adapter"):
        load_adapter(adapters, "nat", tmp_path / "nat")


def test_what_is_no_adapter_is_refused(tmp_path: Path) -> None:
    adapters = nat_model()
    with pytest.raises(NsadError, match="holds no usable adapter"):
        load_adapter(adapters, "nce", tmp_path)
    save_adapter(adapters, "negative", tmp_path / "negative")
    (tmp_path / "negative" / "adapter_model.safetensors").write_bytes(b"cut short")
    with pytest.raises(NsadError, match="holds no usable adapter"):
        load_adapter(adapters, "nce", tmp_path / "negative")


def test_an_adapter_of_another_shape_is_refused(tmp_path: Path) -> None:
    save_adapter(nat_model(), "negative", tmp_path / "negative")
    other = Adapters(LlamaForCausalLM(LlamaConfig(**{**SHAPE, "hidden_size": 64})))
    with pytest.raises(NsadError, match="does not fit"):
        load_adapter(other, "negative", tmp_path / "negative")
    assert other.names() == []


def test_targets_that_are_not_there_are_refused() -> None:
    with pytest.raises(NsadError, match="does not fit this student"):
        nat_model(settings=AdapterSettings(targets=("no_such_proj",)))
