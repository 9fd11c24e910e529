"""Attention by matrix products equals the fused attention in float64, gradients included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nsad_cli.models.segment_attention import Segment, fits, segment_attention

SEGMENTS = {
    "separate": (Segment(5), Segment(1), Segment(9)),
    "shared prompt": (Segment(4), Segment(3, 0), Segment(1, 0), Segment(6), Segment(2, 3)),
}


def reference(query: Tensor, key: Tensor, value: Tensor, segments: tuple[Segment, ...]) -> Tensor:
    """One softmax over all keys of the pack with a mask, [1,H,T,D] → [1,T,H,D]."""
    starts = torch.tensor([0, *(segment.length for segment in segments)]).cumsum(0).tolist()
    seen = torch.zeros(starts[-1], starts[-1], dtype=torch.bool)
    for i, segment in enumerate(segments):
        own = slice(starts[i], starts[i + 1])
        seen[own, own] = torch.ones(segment.length, segment.length, dtype=torch.bool).tril()
        if segment.prompt is not None:
            seen[own, starts[segment.prompt] : starts[segment.prompt + 1]] = True
    key, value = (part.repeat_interleave(query.shape[1] // key.shape[1], 1) for part in (key, value))
    scores = (query @ key.transpose(2, 3) * 0.3).masked_fill(~seen, float("-inf"))
    return (scores.softmax(-1) @ value).transpose(1, 2)


def inputs(dtype: torch.dtype) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(1, heads, sum(s.length for s in SEGMENTS["shared prompt"]), 8).to(dtype) for heads in (6, 2, 2)]


@pytest.mark.parametrize("kind", SEGMENTS)
def test_it_equals_one_masked_softmax(kind: str) -> None:
    segments = SEGMENTS[kind]
    tokens = sum(segment.length for segment in segments)
    leaves = [part[:, :, :tokens].double().requires_grad_() for part in inputs(torch.float64)]
    query, key, value = leaves
    expected, found = reference(query, key, value, segments), segment_attention(query, key, value, segments, 0.3)
    upstream = torch.randn_like(expected)
    assert (found - expected).abs().max() < 1e-12
    pairs = zip(
        torch.autograd.grad(found, leaves, upstream), torch.autograd.grad(expected, leaves, upstream), strict=True
    )
    assert all((got - wanted).abs().max() < 1e-12 for got, wanted in pairs)


def test_in_bfloat16_its_error_is_at_most_twice_that_of_the_fused_attention() -> None:
    torch.manual_seed(1)
    segments, leaves = (
        (Segment(64),),
        [torch.randn(1, heads, 64, 64).bfloat16().requires_grad_() for heads in (9, 3, 3)],
    )
    wide = [leaf.detach().double().requires_grad_() for leaf in leaves]
    upstream = torch.randn(1, 64, 9, 64).bfloat16()

    def fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        attention = torch.nn.functional.scaled_dot_product_attention
        return attention(query, key, value, is_causal=True, enable_gqa=True).transpose(1, 2)

    def outcome(output: Tensor, sources: list[Tensor]) -> list[Tensor]:
        return [output, *torch.autograd.grad(output, sources, upstream.to(output.dtype))]

    exact = outcome(fused(*wide), wide)
    query, key, value = leaves
    ours = outcome(segment_attention(query, key, value, segments, None), leaves)
    others = outcome(fused(*leaves), leaves)
    for got, other, wanted in zip(ours, others, exact, strict=True):
        assert (got.double() - wanted).norm() <= 2 * (other.double() - wanted).norm()


def test_long_segments_and_float32_stay_with_the_fused_attention() -> None:
    query, _, value = inputs(torch.bfloat16)
    assert fits(query, value, (Segment(300), Segment(200, 0)), None)
    assert not fits(query, value, (Segment(300), Segment(300, 0)), None)
    assert not fits(query, value, (Segment(300),), 200)
    assert not fits(query.float(), value.float(), (Segment(5),), None)
    assert not fits(query, value[..., :4], (Segment(5),), None), "values of another width"
