"""Numbers that come one by one and are read as an array."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # numpy is imported by who first asks for an array: a list of runs has no need of it
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class Growing:
    """Floats; adding one takes constant time on average."""

    __slots__ = ("_fresh", "_kept", "_size")

    def __init__(self) -> None:
        self._fresh = array("d")
        self._kept: Floats | None = None
        self._size = 0

    def __len__(self) -> int:
        return self._size + len(self._fresh)

    def append(self, value: float) -> None:
        """Add a number."""
        self._fresh.append(value)

    def last(self) -> float | None:
        """The last number, if there is one."""
        if self._fresh:
            return self._fresh[-1]
        return None if self._kept is None or not self._size else float(self._kept[self._size - 1])

    def array(self) -> Floats:
        """All numbers [n]: a view that holds until the next change."""
        import numpy as np

        size = len(self)
        if self._kept is None or size > len(self._kept):
            room = np.empty(max(2 * size, 1024))
            if self._kept is not None:
                room[: self._size] = self._kept[: self._size]
            self._kept = room
        if self._fresh:
            self._kept[self._size : size] = self._fresh
            self._fresh, self._size = array("d"), size
        return self._kept[:size]

    def extend(self, values: Floats) -> None:
        """Add an array of numbers [n]."""
        self._fresh.frombytes(values.astype(float).tobytes())

    def place(self, value: float) -> int:
        """Where a value would stand among numbers that rise."""
        if self._fresh and (self._fresh[0] < value or not self._size):
            return self._size + bisect_left(self._fresh, value)
        return int(self.array().searchsorted(value))

    def cut(self, size: int) -> None:
        """Keep the first `size` numbers."""
        if size < self._size:
            self._size, self._fresh = size, array("d")
        else:
            del self._fresh[size - self._size :]
