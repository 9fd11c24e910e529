"""The effect of NAT's negative branch: none where h− equals h+, and what the literal forms say elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from nsad_cli.models.lm_head import vocabulary_head
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.nat.config import AdapterSettings
from nsad_cli.models.nat.layer import weight_of
from nsad_cli.models.nat.negative_effect import NegativeEffect, negative_effect
from nsad_cli.models.packing import Example, enable_packing, pack
from nsad_cli.models.student import load_student
from tests.helpers.nat_models import shake

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def adapters(tiny_llama: Path) -> Adapters:
    student = load_student(str(tiny_llama), device="cpu")
    found = Adapters(student.model)
    settings = AdapterSettings(targets="all-linear", r=4, unit_size=8, unit_targets=("q_proj", "v_proj"))
    found.add_lora("negative", settings, 0)
    found.add_nat("nat", settings, "negative", 1)
    enable_packing(found.base)
    found.model.eval()
    return found


EXAMPLES = [Example((5, 6, 7), (8, 9, 10, 11)), Example((5, 6), (12, 13))]


def test_the_effect_is_the_models_own_difference(adapters: Adapters) -> None:
    shake(adapters, "negative", 3)
    shake(adapters, "nat", 4)
    head = vocabulary_head(adapters.base)
    packs = [pack(EXAMPLES)]
    found = negative_effect(adapters, "nat", head, packs)
    assert found is not None
    assert found.tokens == 6
    assert found.kl > 1e-6
    assert found.share > 0.01

    def logits() -> torch.Tensor:
        with torch.no_grad(), adapters.use("nat"):
            rows = [
                adapters.base(torch.tensor([[*e.prompt, *e.completion]])).logits[0, len(e.prompt) - 1 : -1]
                for e in EXAMPLES
            ]
        return torch.cat(rows).double().log_softmax(-1)

    p = logits()
    for _, layer in adapters.layers:  # literally: the positive adapter's matrices in the negative one
        if "nat" in layer.nat_negative:
            for matrices in (layer.lora_A, layer.lora_B):
                weight_of(matrices, "negative").data.copy_(weight_of(matrices, "nat").data)
            layer.forget_frozen("nat")
    q = logits()
    assert found.kl == pytest.approx(((p.exp() * (p - q)).sum() / 6).item(), rel=1e-3)
    same = negative_effect(adapters, "nat", head, packs)
    assert same is not None
    assert same.kl == pytest.approx(0.0, abs=1e-6)
    assert same.share == pytest.approx(0.0, abs=1e-5)


def test_measuring_leaves_the_model_as_it_was(adapters: Adapters) -> None:
    shake(adapters, "negative", 3)
    shake(adapters, "nat", 4)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad(), adapters.use("nat"):
        before = adapters.base(ids).logits
    negative_effect(adapters, "nat", vocabulary_head(adapters.base), [pack(EXAMPLES)])
    with torch.no_grad(), adapters.use("nat"):
        assert torch.equal(adapters.base(ids).logits, before)
    assert {layer.nat_negative.get("nat") for _, layer in adapters.layers} <= {"negative", None}
    assert not any(layer._forward_hooks for _, layer in adapters.layers)


def test_other_adapters_have_no_negative_branch(adapters: Adapters) -> None:
    assert negative_effect(adapters, "negative", vocabulary_head(adapters.base), [pack(EXAMPLES)]) is None
    assert negative_effect(adapters, "nat", vocabulary_head(adapters.base), []) is None


def test_the_effect_in_words() -> None:
    assert NegativeEffect(0.0003, 0.012, 9).describe() == "KL 0.0003 nats a token, 1% of the unit's output: none"
    assert NegativeEffect(0.005, 0.1, 9).describe().endswith(": small")
    assert NegativeEffect(0.05, 0.3, 9).describe().endswith(": clear")
