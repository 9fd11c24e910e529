"""Numbers over steps, and what of them fits the columns of a screen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of a stage: steps [n], which never fall, values [n] (NaN: not finite), times [n] (s since 1970)."""

    steps: Floats
    values: Floats
    times: Floats

    def __len__(self) -> int:
        return len(self.steps)

    def between(self, first: float, last: float) -> Series:
        """The part from one step to another, both included."""
        part = slice(int(self.steps.searchsorted(first)), int(self.steps.searchsorted(last, "right")))
        return Series(self.steps[part], self.values[part], self.times[part])
