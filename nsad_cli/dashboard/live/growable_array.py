"""Numbers that come one by one and are read as an array."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # numpy is imported by who first asks for an array: a list of runs has no need of it
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class GrowableArray:
    """Floats; adding one takes constant time on average."""

    __slots__ = ("_new", "_size", "_stored")

    def __init__(self) -> None:
        self._new = array("d")
        self._stored: Floats | None = None
        self._size = 0

    def __len__(self) -> int:
        return self._size + len(self._new)

    def append(self, value: float) -> None:
        """Add a number."""
        self._new.append(value)

    def last(self) -> float | None:
        """The last number, if there is one."""
        if self._new:
            return self._new[-1]
        return None if self._stored is None or not self._size else float(self._stored[self._size - 1])

    def array(self) -> Floats:
        """All numbers [n]: a view that holds until the next change."""
        import numpy as np

        size = len(self)
        if self._stored is None or size > len(self._stored):
            room = np.empty(max(2 * size, 1024))
            if self._stored is not None:
                room[: self._size] = self._stored[: self._size]
            self._stored = room
        if self._new:
            self._stored[self._size : size] = self._new
            self._new, self._size = array("d"), size
        return self._stored[:size]

    def extend(self, values: Floats) -> None:
        """Add an array of numbers [n]."""
        self._new.frombytes(values.astype(float).tobytes())

    def index_of(self, value: float) -> int:
        """Where a value would stand among numbers that rise."""
        if self._new and (self._new[0] < value or not self._size):
            return self._size + bisect_left(self._new, value)
        return int(self.array().searchsorted(value))

    def truncate(self, size: int) -> None:
        """Keep the first `size` numbers."""
        if size < self._size:
            self._size, self._new = size, array("d")
        else:
            del self._new[size - self._size :]
