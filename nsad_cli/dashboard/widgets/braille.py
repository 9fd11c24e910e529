"""Rasterisation of curves into braille characters of 2×4 dots."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nsad_cli.dashboard.live.series import CurveColumns, Floats

BLANK = 0x2800
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint32)


def column_spans(
    columns: CurveColumns, scale: tuple[float, float], height: int, *, log: bool = False
) -> tuple[Floats, Floats]:
    """Return the highest and lowest dot of a curve in each column [c], counted from the top; NaN if there is none.

    Columns without a point are interpolated between their neighbours, except across a value that is not finite.

    Args:
        columns: The decimated curve.
        scale: The values at the lower and the upper edge.
        height: Number of dot rows.
        log: Use a logarithmic scale.
    """
    bottom, top = (math.log10(scale[0]), math.log10(scale[1])) if log else scale

    def dots(values: Floats) -> Floats:
        return (top - (np.log10(values) if log else values)) / (top - bottom) * (height - 1)

    upper, lower, enter, leave = (dots(part) for part in (columns.high, columns.low, columns.first, columns.last))
    size, linked = len(upper), columns.joined.copy()
    knots = [(float(c), enter[c], leave[c], bool(linked[c])) for c in np.flatnonzero(~np.isnan(upper))]
    for point, at in ((columns.before, 0), (columns.after, len(knots) + 1)):
        if point is not None:
            value = float(dots(np.array(point[1])))
            knots.insert(at, (point[0], value, value, at > 0))
    for (start, _, out, _), (end, into, _, comes) in itertools.pairwise(knots):
        inner = np.arange(max(math.floor(start) + 1, 0), min(math.ceil(end), size))
        if comes and len(inner):
            crossing = out + (into - out) * (inner - start) / (end - start)
            for part in (upper, lower, enter, leave):
                part[inner] = crossing
            linked[inner] = True
    # Neighbouring columns meet halfway between the last value of one and the first value of the other.
    right = np.flatnonzero(linked[1:] & ~np.isnan(leave[:-1]) & ~np.isnan(enter[1:])) + 1
    middle = (leave[right - 1] + enter[right]) / 2
    for side in (right - 1, right):
        upper[side], lower[side] = np.minimum(upper[side], middle), np.maximum(lower[side], middle)
    return upper, lower


def braille_cells(upper: Floats, lower: Floats, rows: int) -> NDArray[np.uint32]:
    """Return characters [rows, c/2] whose dots fill each dot column from `upper` to `lower`; 0 for empty cells."""
    first, last = (np.clip(np.rint(np.nan_to_num(edge, nan=-9)), -9, 4 * rows) for edge in (upper, lower))
    place = np.arange(4 * rows)[:, None]
    filled = (place >= first) & (place <= last)
    bits = (filled.reshape(rows, 4, -1, 2) * _BITS[None, :, None, :]).sum(axis=(1, 3), dtype=np.uint32)
    return np.where(bits > 0, bits + BLANK, 0).astype(np.uint32)
