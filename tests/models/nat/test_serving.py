"""What a server computes of NAT equals the design's equations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from nsad_cli.errors import NsadError
from nsad_cli.models.nat.adapter_export import served_adapter
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.nat.config import AdapterSettings
from nsad_cli.models.nat.forms import GATES, UnitForm
from nsad_cli.models.nat.layer import unit_matrices
from nsad_cli.models.nat.serving import PREFIX, ServedUnit, probe, served_tensors
from tests.helpers.literal_unit import literal_output
from tests.helpers.nat_layers import nat_layer
from tests.helpers.nat_models import shake


@settings(max_examples=60, deadline=None)
@given(
    d_in=st.sampled_from([32, 64]),
    d_out=st.sampled_from([16, 32]),
    value=st.sampled_from(["mlp", "identity", "delta"]),
    gate=st.sampled_from(list(GATES)),
    negative_r=st.integers(1, 12),
    tokens=st.integers(1, 5),
    seed=st.integers(0, 99),
    fused=st.booleans(),
)
def test_it_equals_the_equations(
    d_in: int, d_out: int, value: Any, gate: Any, negative_r: int, tokens: int, seed: int, fused: bool
) -> None:
    layer = nat_layer(d_in, d_out, value=value, gate=gate, negative_r=negative_r, seed=seed).eval()
    plain, matrices = layer.get_base_layer(), unit_matrices(layer, "nat")
    torch.nn.init.normal_(plain.bias)
    scales = layer.scaling["nat"], layer.scaling["negative"]
    form = UnitForm(value, gate)
    unit = ServedUnit(served_tensors(matrices, *scales, plain.weight, plain.bias, form), fused=fused)
    x = torch.randn(tokens, d_in, dtype=torch.float64)
    with torch.no_grad():
        base = plain(x)
        assert unit.below is not None
        assert unit.bias is not None
        ours = unit(base, x @ unit.below.T + unit.bias)
        reference = literal_output(x, base, matrices, *scales, form=form)
        assert (ours - reference).abs().max() < 1e-10
        assert (ours - base).abs().max() > 1e-3, "an adapter that changes nothing shows nothing"


def test_the_normalisation_of_deltas_is_computed_in_float32() -> None:
    """With columns of B that nearly cancel, a Gram matrix in bfloat16 would be off by tens of percent."""
    layer = nat_layer(32, 64, value="delta", dtype=torch.float32).eval()
    with torch.no_grad():
        b = unit_matrices(layer, "nat")["b_pos"]
        b.copy_(b[:, :1] + 0.05 * b)
    plain, matrices = layer.get_base_layer(), unit_matrices(layer, "nat")
    low = {name: value.bfloat16() for name, value in matrices.items()}
    form, weight, bias = UnitForm("delta"), plain.weight.bfloat16(), plain.bias.bfloat16()
    gram = served_tensors(low, 2.0, 2.0, weight, bias, form)["gram"]
    assert gram.dtype == torch.float32
    both = 2.0 * torch.cat([low["b_pos"], low["b_neg"]], 1).double()
    assert torch.allclose(gram.double(), both.T @ both / len(both), rtol=1e-6)


@pytest.mark.parametrize(
    ("negative_r", "fused", "rows"), [(8, True, 32 + 2 * 16), (8, False, 32 + 16), (3, False, 22 + 2 * 16)]
)
def test_the_rows_below_a_weight(negative_r: int, fused: bool, rows: int) -> None:
    """A+, A− and E, then U± or C1·W; for adapters of different ranks always U±. The output is the same."""
    layer = nat_layer(32, 16, negative_r=negative_r).eval()
    plain, matrices = layer.get_base_layer(), unit_matrices(layer, "nat")
    assert len(matrices["a_pos"]) == 8
    assert len(matrices["c1"]) == 16
    scales = layer.scaling["nat"], layer.scaling["negative"]
    unit = ServedUnit(served_tensors(matrices, *scales, plain.weight, plain.bias), fused=fused)
    x = torch.randn(5, 32, dtype=torch.float64)
    with torch.no_grad():
        below, bias = unit.take_below()
        assert below.shape == (rows, 32)
        assert bias.shape == (rows,)
        base = plain(x)
        assert (unit(base, x @ below.T + bias) - literal_output(x, base, matrices, *scales)).abs().max() < 1e-10


def test_a_projection_without_a_unit_is_its_lora() -> None:
    adapters = adapted(unit_targets=("q_proj",))
    (layer,) = [layer for path, layer in adapters.layers if path.endswith("0.self_attn.v_proj")]
    matrices = unit_matrices(layer, "nat")
    assert set(matrices) == {"a_pos", "b_pos"}
    plain = layer.get_base_layer()
    unit = ServedUnit(served_tensors(matrices, layer.scaling["nat"], 1.0, plain.weight, plain.bias))
    x = torch.randn(3, layer.in_features, dtype=torch.float64)
    with torch.no_grad(), adapters.use("nat"):
        assert unit.below is not None
        assert (unit(plain(x), x @ unit.below.T) - layer(x)).abs().max() < 1e-10


def test_every_projection_is_named_by_its_path() -> None:
    adapters = adapted(unit_targets=("q_proj",))
    found = served_adapter(adapters, "nat")
    paths = {key.rpartition(f".{PREFIX}")[0] for key in found}
    assert paths == {f"model.layers.{i}.self_attn.{name}_proj" for i in (0, 1) for name in "qv"}
    weights = dict(adapters.base.named_parameters())
    for path in paths:
        w = weights[f"{path}.base_layer.weight"]
        assert torch.allclose(found[f"{path}.{PREFIX}check"], w @ probe(w))
    assert not [name for name, _ in adapters.remove_all().named_parameters() if "lora" in name or "base_layer" in name]


def test_what_no_server_can_compute_is_refused() -> None:
    config = LlamaConfig(**SHAPE, tie_word_embeddings=True)
    adapters = adapted(LlamaForCausalLM(config).double(), targets=("q_proj", "lm_head"))
    with pytest.raises(NsadError, match="cannot be served") as error:
        served_adapter(adapters, "nat")
    assert "`lm_head`" in error.value.why


SHAPE: dict[str, Any] = {
    "vocab_size": 32,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def adapted(model: Any = None, **more: Any) -> Adapters:
    """A random model with a trained-looking NAT adapter beside a negative one."""
    model = model or AutoModelForCausalLM.from_config(LlamaConfig(**SHAPE)).double()
    chosen = AdapterSettings(**{"dropout": 0.0, "unit_size": 16, **more})
    adapters = Adapters(model.eval())
    adapters.add_lora("negative", chosen, 0)
    adapters.add_nat("nat", chosen, "negative", 1)
    for seed, name in enumerate(("negative", "nat")):
        shake(adapters, name, seed)
    return adapters
