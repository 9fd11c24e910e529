"""Attention inside the segments of a pack by matrix products, for CPUs in half precision.

torch's fused attention for CPUs has a slow backward pass in bfloat16. Up to some hundred tokens a segment's scores fit
into the processor's cache, and plain matrix products are faster. The scores are not stored: the backward pass computes
them again.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_KEYS = 512
"""The longest segment, with its shared prompt, that is computed here; beyond it the fused kernels are faster."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of a pack: its tokens attend causally to each other, and to the whole segment `prompt` if it is set."""

    length: int
    prompt: int | None = None
    """The index of the segment that holds a shared prompt."""


def fits(query: Tensor, value: Tensor, segments: Sequence[Segment], window: int | None) -> bool:
    """Return whether `segment_attention` is the faster way for a pack: on a CPU, in half precision, if all are short.

    Args:
        query: [1, H, T, D].
        value: [1, K, T, D]; values of another width than the queries' do not fit.
        segments: The segments of the pack.
        window: The number of keys that a query sees; None for all.
    """
    if query.device.type != "cpu" or query.dtype not in (torch.bfloat16, torch.float16):
        return False
    if query.shape[-1] != value.shape[-1]:
        return False
    longest = max(segment.length + _prompt_length(segment, segments) for segment in segments)
    return longest <= MAX_KEYS and (window is None or longest <= window)


def segment_attention(
    query: Tensor, key: Tensor, value: Tensor, segments: Sequence[Segment], scale: float | None
) -> Tensor:
    """Compute causal attention inside each segment, which also sees the whole of its shared prompt.

    Args:
        query: [1, H, T, D].
        key: [1, K, T, D]; H is a multiple of K.
        value: [1, K, T, D].
        segments: The segments, in order, of T tokens together.
        scale: The factor of the scores; None for 1/√D.

    Returns:
        [1, T, H, D].
    """
    factor = scale if scale is not None else query.shape[-1] ** -0.5
    output: Tensor = _SegmentAttention.apply(query[0], key[0], value[0], segments, factor)  # type: ignore[no-untyped-call]  # torch has no annotations here
    return output[None]


class _SegmentAttention(torch.autograd.Function):
    """query [H,T,D], key and value [K,T,D] → [T,H,D], in their dtype."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, segments: Sequence[Segment], scale: float
    ) -> Tensor:
        heads, tokens, width = query.shape
        output = query.new_empty(tokens, heads, width)
        for own, keys in _spans(segments):
            q, k, v = _rows(query[:, own], len(key)), _columns(key, keys), _columns(value, keys)
            output[own] = (_weights(q, k, own, scale) @ v).view(heads, -1, width).transpose(0, 1)
        ctx.save_for_backward(query, key, value, output)
        ctx.segments, ctx.scale = segments, scale
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, output = ctx.saved_tensors
        heads, _, width = query.shape
        g_query, g_key, g_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        # The sum over keys of weight × gradient of the weight is the product of a query's output and its gradient.
        inner = (gradient * output).sum(-1, keepdim=True).transpose(0, 1)
        g_output = gradient.transpose(0, 1)
        for own, keys in _spans(ctx.segments):
            q, g, part = (_rows(whole[:, own], len(key)) for whole in (query, g_output, inner))
            k, v = _columns(key, keys), _columns(value, keys)
            weights = _weights(q, k, own, ctx.scale)
            g_scores = torch.baddbmm(part, g, v.transpose(1, 2), beta=-1).mul_(weights)
            g_query[:, own] = (g_scores @ k).view(heads, -1, width)
            _add_columns(g_key, keys, g_scores.transpose(1, 2) @ q)
            _add_columns(g_value, keys, weights.transpose(1, 2) @ g)
        return g_query.mul_(ctx.scale), g_key.mul_(ctx.scale), g_value, None, None


def _spans(segments: Sequence[Segment]) -> Iterator[tuple[slice, list[slice]]]:
    """Yield each segment's tokens, and the tokens that are its keys."""
    slices: list[slice] = []
    start = 0
    for segment in segments:
        slices.append(slice(start, start + segment.length))
        start += segment.length
        yield slices[-1], [*([slices[segment.prompt]] if segment.prompt is not None else []), slices[-1]]


def _prompt_length(segment: Segment, segments: Sequence[Segment]) -> int:
    return segments[segment.prompt].length if segment.prompt is not None else 0


def _rows(part: Tensor, groups: int) -> Tensor:
    """[H,t,D] → [K, H/K·t, D]: the queries that share keys are one matrix."""
    return part.reshape(groups, -1, part.shape[-1])


def _columns(whole: Tensor, keys: list[slice]) -> Tensor:
    """The keys or values of a segment, [K,L,D]."""
    parts = [whole[:, part] for part in keys]
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _add_columns(whole: Tensor, keys: list[slice], gradient: Tensor) -> None:
    for part, own in zip(keys, gradient.split([part.stop - part.start for part in keys], 1), strict=True):
        whole[:, part] += own


def _weights(query: Tensor, key: Tensor, own: slice, scale: float) -> Tensor:
    """The softmax of the scores [K, H/K·t, L]; scores and weights are rounded to their dtype, as in eager attention."""
    length, keys = own.stop - own.start, key.shape[1]
    mask = _causal_mask(query.dtype)[keys - length : keys, :keys].repeat(query.shape[1] // length, 1)
    return torch.baddbmm(mask, query, key.transpose(1, 2), alpha=scale).softmax(-1)


@functools.cache
def _causal_mask(dtype: torch.dtype) -> Tensor:
    """Zeros, and −∞ for every later key, [MAX_KEYS, MAX_KEYS]."""
    with torch.inference_mode(False):
        return torch.full((MAX_KEYS, MAX_KEYS), float("-inf")).triu_(1).to(dtype)
