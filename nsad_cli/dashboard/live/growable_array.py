"""Array of floats with amortised constant-time append."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # numpy is imported on first use, because the list of runs does not need it
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class GrowableArray:
    """A growable array of floats."""

    __slots__ = ("_new", "_size", "_stored")

    def __init__(self) -> None:
        self._new = array("d")
        self._stored: Floats | None = None
        self._size = 0

    def __len__(self) -> int:
        return self._size + len(self._new)

    def append(self, value: float) -> None:
        """Append a number."""
        self._new.append(value)

    def last(self) -> float | None:
        """The last number, if there is one."""
        if self._new:
            return self._new[-1]
        return None if self._stored is None or not self._size else float(self._stored[self._size - 1])

    def array(self) -> Floats:
        """Return all numbers [n]: a view that is valid until the next change."""
        import numpy as np

        size = len(self)
        if self._stored is None or size > len(self._stored):
            buffer = np.empty(max(2 * size, 1024))
            if self._stored is not None:
                buffer[: self._size] = self._stored[: self._size]
            self._stored = buffer
        if self._new:
            self._stored[self._size : size] = self._new
            self._new, self._size = array("d"), size
        return self._stored[:size]

    def extend(self, values: Floats) -> None:
        """Append an array of numbers [n]."""
        self._new.frombytes(values.astype(float).tobytes())

    def index_of(self, value: float) -> int:
        """Return the insertion index of a value; the numbers must be sorted."""
        if self._new and (self._new[0] < value or not self._size):
            return self._size + bisect_left(self._new, value)
        return int(self.array().searchsorted(value))

    def truncate(self, size: int) -> None:
        """Keep only the first `size` numbers."""
        if size < self._size:
            self._size, self._new = size, array("d")
        else:
            del self._new[size - self._size :]
