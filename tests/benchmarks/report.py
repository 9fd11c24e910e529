"""What benchmarks share: figures with goals, and how a report is printed."""

from __future__ import annotations

import json
import time
from typing import Any

import torch


def at_most(value: float | None, goal: float | None) -> dict[str, Any]:
    """A figure with its goal, an upper bound; one without a value is not met, one without a goal is for comparison."""
    met = None if goal is None else value is not None and value <= goal
    return {"value": None if value is None else round(value, 3), "goal": goal, "met": met}


def at_least(value: float, goal: float | None) -> dict[str, Any]:
    """A figure with its goal, a lower bound."""
    return {"value": round(value, 3), "goal": goal, "met": None if goal is None else value >= goal}


def close_to_machine(rate: float, device: torch.device, size: int = 1536, dtype: torch.dtype = torch.float32) -> float:
    """A rate (floating-point operations a second) as a share of a plain matrix product's on this device."""
    a, b = torch.randn(2, size, size, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(8):
        started = time.perf_counter()
        (a @ b).sum().item()
        best = min(best, time.perf_counter() - started)
    return rate / (2 * size**3 / best)


def matmul_rate(rows: int, inputs: int, outputs: int, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a linear layer [rows, inputs] → [rows, outputs] on the CPU."""
    x, weight = torch.randn(rows, inputs, dtype=dtype), torch.randn(outputs, inputs, dtype=dtype)
    best = float("inf")
    for _ in range(8):
        started = time.perf_counter()
        for _ in range(20):
            torch.nn.functional.linear(x, weight)
        best = min(best, (time.perf_counter() - started) / 20)
    return 2 * rows * inputs * outputs / best


def finish(report: dict[str, Any], as_json: bool) -> None:
    """Print a report: one JSON object, or a line a figure for people."""
    if as_json:
        print(json.dumps(report))
        return
    for key, value in report["conditions"].items():
        print(f"{key}: {value}")
    for name, figure in report["figures"].items():
        goal = "" if figure["goal"] is None else f"   goal {figure['goal']}: {'met' if figure['met'] else 'NOT met'}"
        print(f"{name:34} {figure['value']}{goal}")
