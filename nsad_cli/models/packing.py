"""Packs: sequences laid end to end without padding, and attention that stays inside each of them.

Every linear layer runs over the pack at once; attention runs piece by piece, by the fastest way the device has: one
call a sequence on the CPU, one variable-length kernel on CUDA in half precision. A model whose attention is not
transformers' own scaled dot product runs its sequences one by one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
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

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence, Sized

ATTENTION = "nsad_packed"
"""The name under which transformers finds the attention below."""


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of a prompt and of the completion that is learned, its EOS included."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    wrong: bool = False
    """Whether it is of D−: objectives that learn from both sides tell them apart."""

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of a pack: its tokens see each other causally, and all of the piece numbered `prompt` if there is one."""

    length: int
    prompt: int | None = None


@dataclass(frozen=True, slots=True)
class Pack:
    """Sequences laid end to end; T input tokens, N completion tokens in S sequences.

    input_ids, position_ids [1,T]. `completion` [N]: each completion token's own place in the pack, −1 for a last token
    that is no input. `before` [N]: the place whose output predicts it. `targets` [N]: the token itself. `rows` [N]: its
    sequence, 0 … S−1.
    """

    input_ids: Tensor
    position_ids: Tensor
    completion: Tensor
    before: Tensor
    targets: Tensor
    rows: Tensor
    pieces: tuple[Piece, ...]
    examples: tuple[Example, ...]

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens, a shared prompt counted once for every sequence."""
        return sum(map(len, self.examples))

    def to(self, device: torch.device) -> Pack:
        """The same pack with its tensors on a device."""
        tensors = ("input_ids", "position_ids", "completion", "before", "targets", "rows")
        return dataclasses.replace(self, **{name: getattr(self, name).to(device) for name in tensors})


def pack(examples: Sequence[Example], *, share: bool = False, whole: bool = False) -> Pack:
    """Lay examples end to end, in order.

    share: neighbours with one prompt share it. whole: the last token of a completion is an input too (for a ranker,
    which reads it); a model that predicts does not need it.
    """
    inputs: list[int] = []
    positions: list[int] = []
    completion: list[int] = []
    before: list[int] = []
    targets: list[int] = []
    rows: list[int] = []
    pieces: list[Piece] = []
    row = 0
    groups = [list(group) for _, group in groupby(examples, key=lambda item: item.prompt)]
    for group in groups if share else [[example] for example in examples]:
        prompt, shared = group[0].prompt, len(group) > 1
        last = len(inputs) + len(prompt) - 1
        inputs += prompt
        positions += range(len(prompt))
        if shared:
            pieces.append(Piece(len(prompt)))
        parent = len(pieces) - 1 if shared else None
        for example in group:
            kept = example.completion if whole else example.completion[:-1]
            start, n = len(inputs), len(example.completion)
            completion += [start + i if i < len(kept) else -1 for i in range(n)]
            before += [last, *range(start, start + n - 1)]
            inputs += kept
            positions += range(len(prompt), len(prompt) + len(kept))
            targets += example.completion
            rows += [row] * n
            if shared:
                if kept:
                    pieces.append(Piece(len(kept), parent))
            else:
                pieces.append(Piece(len(prompt) + len(kept)))
            row += 1
    return Pack(
        torch.tensor([inputs]),
        torch.tensor([positions]),
        torch.tensor(completion),
        torch.tensor(before),
        torch.tensor(targets),
        torch.tensor(rows),
        tuple(pieces),
        tuple(examples),
    )


def fill(items: Sequence[Sized], budget: int) -> list[list[Any]]:
    """Cut examples (or pairs), in order, into runs of at most `budget` tokens; a longer one is a run of its own."""
    runs: list[list[Any]] = []
    room = 0
    for item in items:
        if not runs or len(item) > room:
            runs.append([])
            room = budget
        runs[-1].append(item)
        room -= len(item)
    return runs


# --- attention --------------------------------------------------------------------------------------------------------

_pieces: ContextVar[tuple[Piece, ...] | None] = ContextVar("pieces", default=None)


@contextlib.contextmanager
def attending(pieces: tuple[Piece, ...]) -> Iterator[None]:
    """Keep attention inside the pieces of a pack while the context lasts."""
    token = _pieces.set(pieces)
    try:
        yield
    finally:
        _pieces.reset(token)


@dataclass(frozen=True, slots=True)
class Span:
    """Rows `start` … `stop` of a batch that writes, none of which sees a key before `first`."""

    start: int
    stop: int
    first: int


_spans: ContextVar[tuple[Span, ...] | None] = ContextVar("spans", default=None)


@contextlib.contextmanager
def stepping(spans: tuple[Span, ...]) -> Iterator[None]:
    """While the context lasts, batches with one token a row attend span by span, each to the keys that it can see."""
    token = _spans.set(spans)
    try:
        yield
    finally:
        _spans.reset(token)


def hidden_states(model: Any, pack: Pack) -> Tensor:
    """Run a causal language model's decoder over a pack: the last hidden states [T,d].

    Sequence by sequence where the model cannot run packs (see enable_packing), whose pieces then share no prompt.
    """

    def run(ids: Tensor, positions: Tensor) -> Tensor:
        output: Tensor = decoder(model)(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
        return output[0]

    if len(pack.pieces) > 1 and model.config._attn_implementation != ATTENTION:
        assert all(piece.prompt is None for piece in pack.pieces), "a shared prompt needs packed attention"
        lengths = [piece.length for piece in pack.pieces]
        parts = zip(pack.input_ids.split(lengths, 1), pack.position_ids.split(lengths, 1), strict=True)
        return torch.cat([run(ids, positions) for ids, positions in parts])
    with attending(pack.pieces) if len(pack.pieces) > 1 else contextlib.nullcontext():
        return run(pack.input_ids, pack.position_ids)


def decoder(model: Any) -> Any:
    """A causal language model without its vocabulary head."""
    return getattr(model, model.base_model_prefix)


def enable_packing(model: Any) -> bool:
    """Let a model run packs, with shared prompts too; False, and nothing changed, where its attention cannot.

    It must be transformers' own scaled dot product, in every layer, without a cap on its scores.
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
    """Attention of [1,H,T,D] queries inside the pieces of the pack; outside `attending`, transformers' own."""
    pieces, spans = _pieces.get(), _spans.get()
    if spans is not None and query.shape[2] == 1:
        return _step(query, key, value, attention_mask, spans, scaling), None
    if pieces is None:
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
        return _variable_length(query, key, value, pieces, scaling, sliding_window), None
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    lengths = [piece.length for piece in pieces]
    queries, keys, values = (part.split(lengths, dim=2) for part in (query, key, value))
    outputs = []
    for piece, q, k, v in zip(pieces, queries, keys, values, strict=True):
        if piece.prompt is not None:
            k, v = torch.cat([keys[piece.prompt], k], 2), torch.cat([values[piece.prompt], v], 2)
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
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, spans: tuple[Span, ...], scale: float | None
) -> Tensor:
    """Attention of [B,H,1,D] queries to [B,K,L,D] keys → [B,1,H,D]; the queries of a key's group go as one matrix."""
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
    """What each of `length` queries sees of `offset` + `length` keys: the last `window` of those up to its own."""
    own = torch.arange(length, device=device)[:, None] + offset
    keys = torch.arange(offset + length, device=device)[None, :]
    seen = keys <= own
    return seen if window is None else seen & (keys > own - window)


def _variable_length(
    query: Tensor, key: Tensor, value: Tensor, pieces: tuple[Piece, ...], scaling: float | None, window: int | None
) -> Tensor:
    """One kernel for all pieces; a shared prompt's keys are copied before each of its completions'."""
    starts = [0]
    for piece in pieces:
        starts.append(starts[-1] + piece.length)
    spans = [
        ([] if piece.prompt is None else [(starts[piece.prompt], starts[piece.prompt + 1])])
        + [(starts[i], starts[i + 1])]
        for i, piece in enumerate(pieces)
    ]
    counts = [sum(stop - start for start, stop in span) for span in spans]
    query, key, value = (part[0].transpose(0, 1) for part in (query, key, value))
    if any(piece.prompt is not None for piece in pieces):
        places = torch.cat([torch.arange(*span) for group in spans for span in group]).to(key.device)
        key, value = key[places], value[places]
    bounds = torch.tensor([0, *counts]).cumsum(0).to(query.device, torch.int32)
    assert _varlen is not None
    output: Tensor = _varlen(
        query,
        key,
        value,
        torch.tensor(starts, dtype=torch.int32, device=query.device),
        bounds,
        max(piece.length for piece in pieces),
        max(counts),
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return output[None]


def _fits_varlen(query: Tensor) -> bool:
    """Whether flash attention's variable-length kernel takes these tensors: half precision, Ampere or newer."""
    if not query.is_cuda or query.dtype not in (torch.float16, torch.bfloat16) or query.shape[-1] > 256:
        return False
    return torch.cuda.get_device_capability(query.device) >= (8, 0)


try:
    from torch.nn.attention.varlen import varlen_attn as _varlen_attn

    _known = inspect.signature(_varlen_attn).parameters
    _varlen: Any = _varlen_attn if {"scale", "window_size", "enable_gqa"} <= _known.keys() else None
except ImportError:  # an older torch: one call a sequence on CUDA too
    _varlen = None


def _no_mask_for_packs(*args: Any, **kwargs: Any) -> Tensor | None:
    """Transformers' own mask, but none for a pack: its pieces say it all."""
    mask: Tensor | None = sdpa_mask(*args, **kwargs) if _pieces.get() is None else None
    return mask


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, _no_mask_for_packs)
