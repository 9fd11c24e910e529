"""Choosing tokens: the literal distribution, a row at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nsad_cli.generation.sampler import Sampling
from nsad_cli.generation.token_sampling import sample_tokens


def literal(logits: torch.Tensor, draw: float, sampling: Sampling) -> int:
    """The first token at which the cumulated probability exceeds the draw, by float64 and a loop."""
    weights = torch.softmax(logits.double() / sampling.temperature, -1)
    order = weights.argsort(descending=True).tolist()
    kept, total = set(), 0.0
    for token in order:
        if total >= sampling.top_p:
            break
        kept.add(token)
        total += weights[token].item()
    cumulated, whole = 0.0, sum(weights[token].item() for token in kept)
    for token, weight in enumerate(weights.tolist()):
        cumulated += weight if token in kept else 0.0
        if cumulated > draw * whole:
            return token
    raise AssertionError("a draw is below 1")


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    size=st.sampled_from([1, 2, 255, 256, 257, 1000]),
    temperature=st.sampled_from([0.3, 0.7, 1.0, 2.0]),
    top_p=st.sampled_from([1.0, 0.9, 0.3]),
)
def test_it_draws_from_the_literal_distribution(seed: int, size: int, temperature: float, top_p: float) -> None:
    rows, sampling = 11, Sampling(temperature, top_p, 1)
    logits = torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)) * 3
    generators = [torch.Generator().manual_seed(seed + i) for i in range(rows)]
    draws = [torch.rand(1, generator=g.clone_state(), dtype=torch.float64).item() for g in generators]
    tokens, logprobs = sample_tokens(logits, generators, sampling)
    exact = torch.log_softmax(logits.double(), -1)
    assert logprobs == pytest.approx([exact[i, token].item() for i, token in enumerate(tokens)], abs=1e-5)
    same = [token == literal(logits[i], draws[i], sampling) for i, token in enumerate(tokens)]
    assert sum(same) >= rows - 1, "a draw within rounding of a bound may fall on the other side"


def test_what_cannot_be_drawn_is_not() -> None:
    logits = torch.full((40, 600), float("-inf"))
    logits[:, [3, 255, 256, 599]] = torch.tensor([0.0, -30.0, 1.0, -5.0])
    tokens, logprobs = sample_tokens(
        logits, [torch.Generator().manual_seed(i) for i in range(40)], Sampling(1.0, 1.0, 1)
    )
    assert set(tokens) == {3, 256}
    assert max(logprobs) < 0


def test_greedy_takes_the_first_of_the_most_likely() -> None:
    logits = torch.tensor([[0.0, 2.0, 2.0], [3.0, 0.0, 3.0]])
    tokens, logprobs = sample_tokens(logits, [torch.Generator(), torch.Generator()], Sampling(0.0))
    assert tokens == [1, 0]
    assert logprobs == pytest.approx(torch.log_softmax(logits, -1).max(-1).values.tolist(), abs=1e-6)
