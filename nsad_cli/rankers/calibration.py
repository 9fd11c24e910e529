"""Calibration of a ranker's logits to probabilities, and its error; plain numbers, no tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BINS = 15
"""Of equal width, as usual for the expected calibration error (Guo et al. 2017)."""
STEPS = 100


@dataclass(frozen=True, slots=True)
class Calibration:
    """p = σ(scale · z + shift) with a scale above zero, so that the order of chains is preserved."""

    scale: float = 1.0
    shift: float = 0.0

    def __call__(self, logit: float) -> float:
        """The probability that a chain with this logit is right."""
        return sigmoid(self.scale * logit + self.shift)


def sigmoid(value: float) -> float:
    """σ, without overflow."""
    if value >= 0:
        return 1 / (1 + math.exp(-value))
    return math.exp(value) / (1 + math.exp(value))


def fit_platt(logits: Sequence[float], right: Sequence[bool]) -> Calibration | None:
    """Platt scaling: the scale and shift of greatest likelihood; None if the scale would not be above zero.

    By Newton steps that are halved until they gain (Lin, Lin and Weng 2007), towards Platt's (1999) targets,
    (N+ + 1) / (N+ + 2) for right ones and 1 / (N− + 2) for wrong ones, without which few chains that the logits
    separate would make the scale infinite.
    """
    if not logits:
        return None
    positive = sum(right)
    high, low = (positive + 1) / (positive + 2), 1 / (len(right) - positive + 2)
    targets = [high if good else low for good in right]
    # In units of the logits' own spread the two parameters are of one size.
    mean = sum(logits) / len(logits)
    spread = math.sqrt(sum((z - mean) ** 2 for z in logits) / len(logits))
    if not spread:
        return None
    values = [(z - mean) / spread for z in logits]
    scale, shift = 0.0, math.log((positive + 1) / (len(right) - positive + 1))
    loss = _loss(values, targets, scale, shift)
    for _ in range(STEPS):
        errors = [sigmoid(scale * x + shift) - t for x, t in zip(values, targets, strict=True)]
        curves = [p * (1 - p) for p in (sigmoid(scale * x + shift) for x in values)]
        g_scale, g_shift = sum(e * x for e, x in zip(errors, values, strict=True)), sum(errors)
        if max(abs(g_scale), abs(g_shift)) < 1e-10 * len(values):
            break
        xx = sum(c * x * x for c, x in zip(curves, values, strict=True)) + 1e-12
        x1 = sum(c * x for c, x in zip(curves, values, strict=True))
        one = sum(curves) + 1e-12
        determinant = xx * one - x1 * x1
        d_scale = (x1 * g_shift - one * g_scale) / determinant
        d_shift = (x1 * g_scale - xx * g_shift) / determinant
        step = 1.0
        while (new := _loss(values, targets, scale + step * d_scale, shift + step * d_shift)) > loss and step > 1e-10:
            step /= 2
        if new >= loss:
            break
        scale, shift, loss = scale + step * d_scale, shift + step * d_shift, new
    if scale <= 0:
        return None
    return Calibration(scale / spread, shift - scale * mean / spread)


def _loss(values: Sequence[float], targets: Sequence[float], scale: float, shift: float) -> float:
    """−Σ t·log p + (1−t)·log(1−p), as softplus(z) − t·z."""
    total = 0.0
    for x, target in zip(values, targets, strict=True):
        z = scale * x + shift
        total += max(z, 0.0) + math.log1p(math.exp(-abs(z))) - target * z
    return total


def expected_calibration_error(scores: Sequence[float], right: Sequence[bool], bins: int = BINS) -> float:
    """ECE: mean score minus fraction correct, absolute, per bin, weighted by size (Guo et al. 2017).

    Scores (0.2, 0.9, 0.9) of which the last alone is right, in 2 bins: (1·|0.2 − 0| + 2·|0.9 − 0.5|) / 3 = 1/3.
    Raises ValueError without scores.
    """
    if not scores:
        raise ValueError("no scores")
    sums: dict[int, tuple[float, int]] = {}
    for score, good in zip(scores, right, strict=True):
        place = min(int(score * bins), bins - 1)
        total, count = sums.get(place, (0.0, 0))
        sums[place] = total + score, count + good
    return sum(abs(total - count) for total, count in sums.values()) / len(scores)
