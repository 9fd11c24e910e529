"""Packed weights: the plain product's results, in use inside a context only, and freed with the sampler."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nsad_cli.generation.hf import HFSampler
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.models import packed_weights
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.nat.config import AdapterSettings
from nsad_cli.models.packed_weights import PackedLayers, PackedProduct, linear_layers
from nsad_cli.models.student import Student, load_student
from tests.helpers.nat_models import shake

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.types import Chain

TASKS = [Task(f"p{i}", question, (0, 1, 2)) for i, question in enumerate(("3 + 4", "Ana has 3 cups.", "0", "7 - 2 ="))]
HOW = Sampling(1.0, 1.0, 16)

pytestmark = pytest.mark.skipif(not packed_weights._supported(), reason="oneDNN computes no bfloat16 here")


def student_with_adapters(folder: Path) -> tuple[Student, Adapters]:
    """A student in bfloat16 with a trained-looking NAT."""
    student = load_student(str(folder), device="cpu", dtype="bfloat16")
    adapters = Adapters(student.model)
    settings = AdapterSettings(targets=("q_proj", "v_proj"), r=4, alpha=8, dropout=0.0, unit_size=8)
    adapters.add_lora("negative", settings, 0)
    adapters.add_nat("nat", settings, "negative", 1)
    for i, name in enumerate(("negative", "nat")):
        shake(adapters, name, i)
    adapters.train_only(None)
    return student, adapters


def by_key(sampler: HFSampler, tasks: list[Task] = TASKS) -> dict[tuple[str, int], Chain]:
    return {(chain.problem_id, chain.index): chain for chain in sampler.sample(tasks, HOW, seed="s")}


@pytest.mark.parametrize("shape", [(1, 96), (3, 96), (17, 96), (4, 1, 96), (2, 65, 96)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_product_is_the_plain_one_within_bfloat16_rounding(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Linear(96, 160, bias=bias).bfloat16())
    x = torch.randn(shape).bfloat16()
    exact = F.linear(x.double(), *(p.double() for p in layer[0].parameters()))
    packed = PackedLayers(layer)
    with torch.inference_mode():
        plain = layer(x)
        with packed.in_use():
            found = layer(x)
        assert torch.equal(layer(x), plain), "outside the context the plain product is back"
    assert len(packed) == 1
    assert found.shape == plain.shape
    bound = 2**-8 * exact.abs() + 1e-3
    assert ((found.double() - exact).abs() <= bound).all()
    assert ((found.double() - plain.double()).abs() <= 2 * bound).all()


@pytest.mark.parametrize("bias", [True, False])
def test_rows_of_an_adapter_join_the_layers_product(bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(96, 160, bias=bias).bfloat16().requires_grad_(False)
    product, x = PackedProduct(layer), torch.randn(5, 96).bfloat16()
    for rows in (24, 40):  # another adapter
        below, own = torch.randn(rows, 96).bfloat16(), torch.randn(rows).bfloat16() if bias else None
        base, low = product.joined(below, own, x)
        assert (base - layer(x)).abs().max() <= 2**-6
        exact = F.linear(x.double(), below.double(), None if own is None else own.double())
        assert ((low.double() - exact).abs() <= 2**-8 * exact.abs() + 1e-3).all()


def test_only_plain_layers_in_bfloat16_are_packed(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    student, adapters = student_with_adapters(tiny_llama)
    adapters.model.bfloat16()  # adapters in the base's dtype are not packed either: they may be trained later
    layers = linear_layers(adapters.model)
    assert len(layers) == 2 * 7 + 1
    assert student.model.get_output_embeddings() in layers
    assert len(PackedLayers(adapters.model)) == len(layers)
    whole = load_student(str(tiny_llama), device="cpu", dtype="float32")
    assert len(PackedLayers(whole.model)) == 0
    monkeypatch.setattr(packed_weights, "MAX_BYTES", 1000)
    assert len(PackedLayers(adapters.model)) == 0


@pytest.mark.parametrize("name", [None, "negative", "nat"])
def test_chains_are_those_of_plain_weights(tiny_llama: Path, name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Greedy text and log-probabilities within rounding, by the base, a LoRA and NAT."""
    student, adapters = student_with_adapters(tiny_llama)
    how = Sampling(0.0, 1.0, 3)
    first = [Task(task.problem_id, task.question, (0,)) for task in TASKS]
    packed = HFSampler(student, adapters, name, 4)
    found = {chain.problem_id: chain for chain in packed.sample(first, how, seed="s")}
    assert len(packed.packed_layers()) == 2 * 7 + 1
    monkeypatch.setattr(packed_weights, "_supported", lambda: False)
    plain = HFSampler(student, adapters, name, 4)
    expected = {chain.problem_id: chain for chain in plain.sample(first, how, seed="s")}
    assert len(plain.packed_layers()) == 0
    for key, chain in expected.items():
        assert found[key].logprobs[0] == pytest.approx(chain.logprobs[0], abs=0.05), key


def test_a_resumed_run_samples_the_chains_of_an_uninterrupted_one(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nsad_cli.generation.hf.WINDOW", 2)
    whole = by_key(HFSampler(*student_with_adapters(tiny_llama), "nat", 3))
    rest = [Task(t.problem_id, t.question, t.indices, cached=t.problem_id != "p1") for t in TASKS]
    again = by_key(HFSampler(*student_with_adapters(tiny_llama), "nat", 3), rest)
    assert {("p1", 0), ("p1", 1), ("p1", 2)} <= again.keys()
    assert len(again) < len(whole)
    assert all(again[key] == whole[key] for key in again), "bit for bit, log-probabilities too"


def test_packed_weights_follow_changed_ones_and_are_freed_with_the_sampler(tiny_llama: Path) -> None:
    student, adapters = student_with_adapters(tiny_llama)
    sampler = HFSampler(student, adapters, "nat", 4)
    before = by_key(sampler)
    packed = sampler.packed_layers()
    assert sampler.packed_layers() is packed, "made once"
    with torch.no_grad():
        student.model.lm_head.weight.mul_(1.5)
    after = by_key(sampler)
    assert after != before
    assert after == by_key(HFSampler(student, adapters, "nat", 4))
    freed = weakref.ref(sampler.packed_layers())
    del packed, sampler
    gc.collect()
    assert freed() is None
    assert all("forward" not in vars(module) for module in student.model.modules())
