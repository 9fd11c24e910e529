"""Packs: sequences concatenated without padding, with attention restricted to each sequence.

Linear layers run over the whole pack at once. Attention runs segment by segment: one call per sequence on the CPU, one
variable-length kernel on CUDA in half precision. A model whose attention is not transformers' scaled dot product runs
its sequences one by one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import itertools
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from nsad_cli.models.host_copies import all_to_device, to_device
from nsad_cli.models.segment_attention import Segment, fits, segment_attention

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence, Sized

ATTENTION = "nsad_packed"
"""The name under which the attention below is registered in transformers."""


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of a prompt and of a completion to learn, including EOS."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    wrong: bool = False
    """Whether the completion is from D−, for objectives that learn from both sides."""

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


@dataclass(frozen=True, slots=True)
class Pack:
    """Concatenated sequences: T input tokens, and N completion tokens in S sequences."""

    input_ids: Tensor
    """[1, T]"""
    position_ids: Tensor
    """[1, T]"""
    completion: Tensor
    """[N]: each completion token's position in the pack, −1 for a last token that is not an input."""
    before: Tensor
    """[N]: the position whose output predicts the token."""
    targets: Tensor
    """[N]: the token itself."""
    rows: Tensor
    """[N]: the index of the token's sequence, from 0 to S−1."""
    wrong: Tensor
    """[S]: whether the sequence's completion is from D−."""
    segments: tuple[Segment, ...]
    examples: tuple[Example, ...]

    @property
    def tokens(self) -> int:
        """The number of prompt and completion tokens; a shared prompt counts once per sequence."""
        return sum(map(len, self.examples))

    def to(self, device: torch.device) -> Pack:
        """Return the same pack with its tensors on a device, in one copy that does not wait for a GPU."""
        names = ("input_ids", "position_ids", "completion", "before", "targets", "rows", "wrong")
        moved: dict[str, Any] = dict(
            zip(names, all_to_device([getattr(self, name) for name in names], device), strict=True)
        )
        return dataclasses.replace(self, **moved)


def pack(examples: Sequence[Example], *, share: bool = False, whole: bool = False) -> Pack:
    """Concatenate examples in order.

    Args:
        examples: The examples.
        share: Store the prompt of consecutive examples once if it is the same.
        whole: Include the last token of each completion as an input, which only a ranker needs.
    """
    inputs: list[int] = []
    positions: list[int] = []
    completion: list[int] = []
    before: list[int] = []
    targets: list[int] = []
    rows: list[int] = []
    segments: list[Segment] = []
    row = 0
    groups = [list(group) for _, group in groupby(examples, key=lambda item: item.prompt)]
    for group in groups if share else [[example] for example in examples]:
        prompt, shared = group[0].prompt, len(group) > 1
        last = len(inputs) + len(prompt) - 1
        inputs += prompt
        positions += range(len(prompt))
        if shared:
            segments.append(Segment(len(prompt)))
        parent = len(segments) - 1 if shared else None
        for example in group:
            input_tokens = example.completion if whole else example.completion[:-1]
            start, n = len(inputs), len(example.completion)
            completion += [start + i if i < len(input_tokens) else -1 for i in range(n)]
            before += [last, *range(start, start + n - 1)]
            inputs += input_tokens
            positions += range(len(prompt), len(prompt) + len(input_tokens))
            targets += example.completion
            rows += [row] * n
            if shared:
                if input_tokens:
                    segments.append(Segment(len(input_tokens), parent))
            else:
                segments.append(Segment(len(prompt) + len(input_tokens)))
            row += 1
    return Pack(
        torch.tensor([inputs]),
        torch.tensor([positions]),
        torch.tensor(completion),
        torch.tensor(before),
        torch.tensor(targets),
        torch.tensor(rows),
        torch.tensor([example.wrong for example in examples]),
        tuple(segments),
        tuple(examples),
    )


def group_by_tokens(items: Sequence[Sized], budget: int) -> list[list[Any]]:
    """Group examples or pairs, in order, into lists of at most `budget` tokens; a longer item is a list of its own."""
    groups: list[list[Any]] = []
    room = 0
    for item in items:
        if not groups or len(item) > room:
            groups.append([])
            room = budget
        groups[-1].append(item)
        room -= len(item)
    return groups


# --- attention --------------------------------------------------------------------------------------------------------

_segments: ContextVar[tuple[Segment, ...] | None] = ContextVar("segments", default=None)


@contextlib.contextmanager
def packed_attention(segments: tuple[Segment, ...]) -> Iterator[None]:
    """Restrict attention to the segments of a pack inside the context."""
    token = _segments.set(segments)
    try:
        yield
    finally:
        _segments.reset(token)


@dataclass(frozen=True, slots=True)
class RowSpan:
    """Rows `start` to `stop` of a batch that is being generated, none of which attends to a key before `first`."""

    start: int
    stop: int
    first: int


_spans: ContextVar[tuple[RowSpan, ...] | None] = ContextVar("spans", default=None)


@contextlib.contextmanager
def step_attention(spans: tuple[RowSpan, ...]) -> Iterator[None]:
    """Inside the context, batches with one token per row attend span by span, without the span's masked keys."""
    token = _spans.set(spans)
    try:
        yield
    finally:
        _spans.reset(token)


def hidden_states(model: Any, pack: Pack) -> Tensor:
    """Run a causal language model's decoder over a pack.

    If the model does not support packs (see `enable_packing`), its sequences run one by one and may not share a prompt.

    Returns:
        The last hidden states [T, d].
    """

    def run(ids: Tensor, positions: Tensor) -> Tensor:
        output: Tensor = decoder(model)(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
        return output[0]

    if len(pack.segments) > 1 and model.config._attn_implementation != ATTENTION:
        assert all(segment.prompt is None for segment in pack.segments), "a shared prompt needs packed attention"
        lengths = [segment.length for segment in pack.segments]
        parts = zip(pack.input_ids.split(lengths, 1), pack.position_ids.split(lengths, 1), strict=True)
        return torch.cat([run(ids, positions) for ids, positions in parts])
    with packed_attention(pack.segments) if len(pack.segments) > 1 else contextlib.nullcontext():
        return run(pack.input_ids, pack.position_ids)


def decoder(model: Any) -> Any:
    """Return a causal language model without its vocabulary head."""
    return getattr(model, model.base_model_prefix)


def enable_packing(model: Any) -> bool:
    """Let a model run packs, including shared prompts, if its attention allows it.

    Every layer must use transformers' scaled dot product without a cap on its scores.

    Returns:
        Whether the model runs packs now; if not, it is unchanged.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    plain = kinds <= {"full_attention", "sliding_attention"} and not getattr(config, "attn_logit_softcapping", None)
    if model.config._attn_implementation == ATTENTION:
        return True
    if model.config._attn_implementation != "sdpa" or not plain:
        return False
    model.set_attn_implementation(ATTENTION)  # a model with attention code of its own stays as it is, with a warning
    return bool(model.config._attn_implementation == ATTENTION)


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **rest: Any,
) -> tuple[Tensor, None]:
    """Attention of [1, H, T, D] queries inside the segments of a pack; without a context, transformers' own."""
    segments, spans = _segments.get(), _spans.get()
    if spans is not None and query.shape[2] == 1:
        return _step(query, key, value, attention_mask, spans, scaling), None
    if segments is None:
        return sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            sliding_window=sliding_window,
            **rest,
        )
    if _varlen is not None and not dropout and _fits_varlen(query):
        return _variable_length(query, key, value, segments, scaling, sliding_window), None
    if not dropout and fits(query, value, segments, sliding_window):
        return segment_attention(query, key, value, segments, scaling), None
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    lengths = [segment.length for segment in segments]
    queries, keys, values = (part.split(lengths, dim=2) for part in (query, key, value))
    outputs = []
    for i, (segment, q) in enumerate(zip(segments, queries, strict=True)):
        k, v = keys[i], values[i]
        if segment.prompt is not None:
            k, v = torch.cat([keys[segment.prompt], k], 2), torch.cat([values[segment.prompt], v], 2)
        offset = k.shape[2] - q.shape[2]
        narrow = sliding_window is not None and k.shape[2] > sliding_window
        mask = _mask(q.shape[2], offset, sliding_window if narrow else None, q.device) if offset or narrow else None
        outputs.append(
            F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, scale=scaling
            )
        )
    return torch.cat(outputs, 2).transpose(1, 2).contiguous(), None


def _step(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, spans: tuple[RowSpan, ...], scale: float | None
) -> Tensor:
    """Attention of queries [B, H, 1, D] to keys [B, K, L, D] → [B, 1, H, D]; a key's group of queries is one matrix."""
    rows, heads = query.shape[:2]
    grouped = query.reshape(rows, key.shape[1], heads // key.shape[1], -1)
    outputs = [
        F.scaled_dot_product_attention(
            grouped[span.start : span.stop],
            key[span.start : span.stop, :, span.first :],
            value[span.start : span.stop, :, span.first :],
            attn_mask=None if mask is None else mask[span.start : span.stop, ..., span.first :],
            scale=scale,
        )
        for span in spans
    ]
    return (torch.cat(outputs) if len(outputs) > 1 else outputs[0]).reshape(rows, 1, heads, -1)


def _mask(length: int, offset: int, window: int | None, device: torch.device) -> Tensor:
    """Mask of `length` queries over `offset` + `length` keys: causal, and limited to the last `window` keys."""
    own = torch.arange(length, device=device)[:, None] + offset
    keys = torch.arange(offset + length, device=device)[None, :]
    seen = keys <= own
    return seen if window is None else seen & (keys > own - window)


def _variable_length(
    query: Tensor, key: Tensor, value: Tensor, segments: tuple[Segment, ...], scaling: float | None, window: int | None
) -> Tensor:
    """One kernel for all segments; the keys of a shared prompt are copied before those of each of its completions."""
    layout = _layout(segments, query.device)
    query, key, value = (part[0].transpose(0, 1) for part in (query, key, value))
    if layout.keys is not None:
        key, value = key[layout.keys], value[layout.keys]
    assert _varlen is not None
    output: Tensor = _varlen(
        query,
        key,
        value,
        layout.query_bounds,
        layout.key_bounds,
        layout.max_queries,
        layout.max_keys,
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return output[None]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the kernel finds S segments among T queries and K keys."""

    query_bounds: Tensor
    """[S + 1]"""
    key_bounds: Tensor
    """[S + 1]"""
    max_queries: int
    max_keys: int
    keys: Tensor | None
    """[K]: the position of each key in the pack; None if the keys are those of the pack, in order."""


@functools.lru_cache(maxsize=4)
def _layout(segments: tuple[Segment, ...], device: torch.device) -> _Layout:
    """Make a pack's layout: every layer of every pass uses the same one, so that nothing is copied to the device."""
    starts = [0, *itertools.accumulate(segment.length for segment in segments)]
    spans = [
        ([] if segment.prompt is None else [(starts[segment.prompt], starts[segment.prompt + 1])])
        + [(starts[i], starts[i + 1])]
        for i, segment in enumerate(segments)
    ]
    counts = [sum(stop - start for start, stop in span) for span in spans]
    shared = any(segment.prompt is not None for segment in segments)
    with torch.inference_mode(False):  # inference tensors could not be used in training
        return _Layout(
            to_device(torch.tensor(starts, dtype=torch.int32), device),
            to_device(torch.tensor([0, *itertools.accumulate(counts)], dtype=torch.int32), device),
            max(segment.length for segment in segments),
            max(counts),
            to_device(torch.cat([torch.arange(*span) for group in spans for span in group]), device)
            if shared
            else None,
        )


def _fits_varlen(query: Tensor) -> bool:
    """Whether flash attention's variable-length kernel supports these tensors: half precision, Ampere or newer."""
    if not query.is_cuda or query.dtype not in (torch.float16, torch.bfloat16) or query.shape[-1] > 256:
        return False
    return torch.cuda.get_device_capability(query.device) >= (8, 0)


try:
    from torch.nn.attention.varlen import varlen_attn as _varlen_attn

    _parameters = inspect.signature(_varlen_attn).parameters
    _varlen: Any = _varlen_attn if {"scale", "window_size", "enable_gqa"} <= _parameters.keys() else None
except ImportError:  # an older torch: one call per sequence on CUDA too
    _varlen = None


def _no_mask_for_packs(*args: Any, **kwargs: Any) -> Tensor | None:
    """Transformers' mask, except for a pack, whose segments replace it."""
    mask: Tensor | None = sdpa_mask(*args, **kwargs) if _segments.get() is None else None
    return mask


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, _no_mask_for_packs)
