"""The key-value cache of a batch of chains, with cheap admission and removal of chains.

A row is a chain. All rows write into the same column, one column per step, so the prompt of a new row ends at the
current column: this is the left-padded layout, for which transformers builds every kind of mask. Between two
rearrangements only the new keys and values are copied.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from nsad_cli.models.packing import RowSpan

if TYPE_CHECKING:
    from collections.abc import Sequence

SLACK = 64
"""Free columns after a rearrangement."""
CPU_SPAN = 16
"""Rows per attention call on a CPU; rows are in order of admission, so neighbours have similar lengths."""


def cache_argument(model: nn.Module) -> str:
    """Return the name of the argument by which a model takes its cache: `cache` in newer versions of transformers."""
    bare: Any = model
    if hasattr(model, "get_base_model"):
        bare = bare.get_base_model()  # PEFT's wrapper takes any argument
    return "cache" if "cache" in inspect.signature(bare.forward).parameters else "past_key_values"


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A processed prompt of P tokens: each layer's keys and values [H,P,D], and the output of its last token."""

    length: int
    layers: tuple[tuple[Tensor, Tensor], ...]
    logits: Tensor
    state: Tensor


class _Filled(Protocol):
    """A layer of a cache after a forward pass."""

    keys: Tensor
    values: Tensor


def prompts_of(cache: DynamicCache, lengths: Sequence[int], logits: Tensor, states: Tensor) -> list[Prompt]:
    """Split a batch of left-padded prompts; logits [B,V] and states [B,d] are those of their last tokens."""
    layers = cast("list[_Filled]", cache.layers)
    return [
        Prompt(
            length,
            tuple((layer.keys[i, :, -length:], layer.values[i, :, -length:]) for layer in layers),
            logits[i],
            states[i],
        )
        for i, length in enumerate(lengths)
    ]


class _Layer(DynamicLayer):
    """One layer's buffers [B,H,W,D]; `keys` and `values`, which the model sees, are their columns before `end`."""

    keys: Tensor
    values: Tensor
    device: torch.device

    def __init__(self, buffers: tuple[Tensor, Tensor], end: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # transformers has no annotations here
        self.buffers = buffers
        self.dtype, self.device, self.is_initialized = buffers[0].dtype, buffers[0].device, True
        self._show(end)

    def _show(self, end: int) -> None:
        self.end = end
        self.keys, self.values = (buffer[:, :, :end] for buffer in self.buffers)

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Write one column."""
        for buffer, column in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, self.end : self.end + 1] = column
        self._show(self.end + 1)
        return self.keys, self.values


class Slots:
    """The cache of all rows, with the start column of each."""

    def __init__(self) -> None:
        self.cache = Cache(layers=[])
        self.starts: list[int] = []
        self.end = self.width = 0
        """The next column to write, and the number of columns."""
        self._mask = torch.empty(0)

    @property
    def full(self) -> bool:
        """Whether no column is left."""
        return self.end == self.width

    def arrange(self, kept: Sequence[int], new: Sequence[Prompt]) -> None:
        """Keep the given rows, in order, and append a row per new prompt; equal prompts must be adjacent."""
        held = self.end - min((self.starts[row] for row in kept), default=self.end)
        used = max([held, *(prompt.length for prompt in new)])
        groups = [(prompt, sum(1 for _ in same)) for prompt, same in groupby(new)]
        layers = cast("list[_Layer]", self.cache.layers)  # this method alone puts layers in
        for number in range(len(new[0].layers) if new else len(layers)):
            old = layers[number].buffers if kept else (None, None)
            keys, values = (
                _arranged(old[i], kept, held, self.end, [(p.layers[number][i], n) for p, n in groups], used)
                for i in (0, 1)
            )
            layers[number : number + 1] = [
                _Layer((keys, values), used)
            ]  # one layer at a time, so that the cache is never in memory twice
        self.starts = [used - self.end + self.starts[row] for row in kept] + [used - prompt.length for prompt in new]
        self.end, self.width, device = used, used + SLACK, layers[0].device
        self._mask = (torch.arange(self.width) >= torch.tensor(self.starts)[:, None]).long().to(device)

    def retire(self, row: int) -> None:
        """Mark a row as done, so that attention spans no longer include its columns."""
        self.starts[row] = self.end

    def mask(self) -> Tensor:
        """Return the attention mask of each row's own tokens, including the next column [B,end+1]."""
        return self._mask[:, : self.end + 1]

    def spans(self) -> tuple[RowSpan, ...]:
        """Return the groups of rows per attention call; a GPU processes all rows at once."""
        count = len(self.starts)
        size = CPU_SPAN if self._mask.device.type == "cpu" else count
        bounds = [(start, min(start + size, count)) for start in range(0, count, size)]
        return tuple(RowSpan(start, stop, min(self.starts[start:stop])) for start, stop in bounds)


def _arranged(
    old: Tensor | None, kept: Sequence[int], held: int, end: int, new: list[tuple[Tensor, int]], used: int
) -> Tensor:
    """Create a buffer with `used` columns in use: the last `held` columns of kept rows, then the new prompts."""
    like = old if old is not None else new[0][0][None]
    rows = len(kept) + sum(count for _, count in new)
    buffer = like.new_empty(rows, like.shape[1], used + SLACK, like.shape[3])
    row = 0
    while old is not None and row < len(kept):  # consecutive rows are copied together
        stop = row + 1
        while stop < len(kept) and kept[stop] - kept[row] == stop - row:
            stop += 1
        source = old[kept[row] : kept[row] + stop - row, :, end - held : end]
        _put(buffer[row:stop], source, used)
        row = stop
    for keys, count in new:
        _put(buffer[row : row + count], keys[None], used)
        row += count
    return buffer


def _put(rows: Tensor, source: Tensor, used: int) -> None:
    """Write right-aligned columns; the columns before them are masked, but zeroed too, as NaN passes through a mask."""
    rows[:, :, used - source.shape[2] : used] = source
    rows[:, :, : used - source.shape[2]] = 0
