"""Axis ticks at round numbers, and number formatting for labels."""

from __future__ import annotations

import itertools
import math


def ticks(low: float, high: float, max_ticks: int) -> list[float]:
    """Return the multiples of 1, 2 or 5 times a power of ten between low and high, at most `max_ticks` of them."""
    if not high > low or max_ticks < 1:
        return [low]
    step = _step((high - low) / max_ticks)
    if not _multiples(low, high, step):
        step = _step((high - low) / max_ticks / 2.5)  # the round number before
    while _multiples(low, high, step) > max_ticks:
        step = _step(step * 1.5)
    first = math.ceil(low / step - 1e-9)
    return [(first + i) * step for i in range(_multiples(low, high, step))]


def _multiples(low: float, high: float, step: float) -> int:
    """Count the multiples of a step between low and high."""
    return math.floor(high / step + 1e-9) - math.ceil(low / step - 1e-9) + 1


def _step(minimum: float) -> float:
    power = 10.0 ** math.floor(math.log10(minimum))
    return next(round_number * power for round_number in (1, 2, 5, 10) if round_number * power >= minimum * (1 - 1e-9))


def log_ticks(low: float, high: float, max_ticks: int) -> list[float]:
    """Return powers of ten between low and high (both positive).

    If there are too many, only every n-th one; if there are few, also their multiples by 2 and 5.
    """
    bottom, top = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    every = max(1, math.ceil((top - bottom + 1) / max(max_ticks, 1)))
    powers = [10.0**power for power in range(bottom, top + 1) if power % every == 0]
    if every > 1 or len(powers) * 3 > max_ticks:
        return powers
    finer = [n * 10.0**power for power in range(bottom - 1, top + 1) for n in (1, 2, 5)]
    finer = [value for value in finer if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
    return finer if len(finer) > 1 else ticks(low, high, max_ticks)


def labels(values: list[float], *, logarithmic: bool = False) -> list[str]:
    """Format tick labels with as many decimals as needed to distinguish them; log-axis labels, each on its own."""
    if logarithmic:
        return [short_number(value) for value in values]
    gaps = [abs(b - a) for a, b in itertools.pairwise(values) if b != a]
    finest = min(gaps, default=abs(values[0]) if values else 1.0) or 1.0
    largest = max((abs(value) for value in values), default=0.0)
    if largest >= 1e6 or (0 < largest < 1e-3) or (largest < 1 and finest < 1e-5):
        return [_scientific(value) for value in values]
    places = max(0, -math.floor(math.log10(finest) + 1e-9))
    return [f"{value:.{places}f}" if value else "0" for value in values]


def _scientific(value: float, digits: int = 3) -> str:
    if value == 0:
        return "0"
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(power)}"


def short_count(value: float) -> str:
    """Format a number of steps compactly: 950, 12k, 1.25M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            scale = 1e3 if unit == "k" else size
            return f"{value / scale:.4g}{unit}"
    return f"{value:g}"


def full_number(step: float) -> str:
    """Format a step in full, with thousands separators."""
    return f"{step:,.0f}" if step == round(step) else f"{step:g}"


def short_number(value: float, digits: int = 4) -> str:
    """Format a value with `digits` significant digits; `not finite` for NaN and infinities."""
    if not math.isfinite(value):
        return "not finite"
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3):
        return _scientific(value, min(digits, 3))
    return f"{value:.{digits}g}" if abs(value) < 10**digits - 0.5 else f"{value:.0f}"
