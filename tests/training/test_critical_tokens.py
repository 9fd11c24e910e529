"""Likelihood weighted by critical tokens: its weights, and its loss against a literal one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.models.packing import Example
from nsad_cli.training.critical_tokens import CriticalTokensObjective
from nsad_cli.training.losses import critical_token_weights, token_nll
from tests.helpers.nat_models import QV, nat_model, shake
from tests.helpers.single_sequences import EXAMPLES, alone

RIGHT = [Example(example.prompt, example.completion) for example in EXAMPLES]
LOSSES = st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20), st.integers(0, 3)), min_size=1, max_size=12)


@given(LOSSES)
def test_weights_average_one_in_each_sequence_and_grow_with_the_contrast(rows: list[tuple[float, float, int]]) -> None:
    right, wrong = (torch.tensor([row[i] for row in rows], dtype=torch.float64) for i in (0, 1))
    sequence = torch.tensor([row[2] for row in rows])
    weights = critical_token_weights(right, wrong, sequence)
    for number in sequence.unique():
        own = sequence == number
        assert weights[own].mean().item() == pytest.approx(1)
        order = (wrong - right)[own].argsort()
        assert bool((weights[own][order].diff() >= -1e-12).all())


def test_one_model_for_both_gives_equal_weights() -> None:
    nll = torch.tensor([0.5, 2.0, 7.0])
    assert torch.equal(critical_token_weights(nll, nll, torch.tensor([0, 0, 1])), torch.ones(3))


def test_the_loss_against_a_literal_one() -> None:
    adapters = nat_model("llama")
    for seed, name in enumerate(("positive", "critical-tokens"), start=2):
        adapters.add_lora(name, QV, 0)
        shake(adapters, name, seed)
    objective = CriticalTokensObjective(adapters, "critical-tokens", "positive", "negative", share=True)
    objective.eval()
    (batch,) = objective.packs(RIGHT, 1000)
    ours = objective.loss(batch).total
    expected = torch.zeros((), dtype=torch.float64)
    for example in RIGHT:
        targets = torch.tensor(example.completion)
        own, right, wrong = (
            token_nll(alone(adapters, name, example), targets) for name in ("critical-tokens", "positive", "negative")
        )
        weights = 2 * torch.sigmoid((wrong - right).detach())
        expected = expected + (weights / weights.mean() * own).sum()
    assert ours.item() == pytest.approx(expected.item(), abs=1e-10)
    parameters = list(objective.trained().values())
    for got, want in zip(torch.autograd.grad(ours, parameters), torch.autograd.grad(expected, parameters), strict=True):
        assert (got - want).abs().max() < 1e-7
