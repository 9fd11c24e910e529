"""Functions that the benchmarks share: figures with goals, the machine's rates, the data folder, printing a report."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import torch

USAGE_ERROR = 2
"""The exit code of incorrect usage."""


def at_most(value: float | None, goal: float | None) -> dict[str, Any]:
    """A figure with its goal, an upper bound; one without a value is not met, one without a goal is for comparison."""
    met = None if goal is None else value is not None and value <= goal
    return {"value": None if value is None else round(value, 3), "goal": goal, "met": met}


def at_least(value: float | None, goal: float | None) -> dict[str, Any]:
    """A figure with its goal, a lower bound; see `at_most`."""
    met = None if goal is None else value is not None and value >= goal
    return {"value": None if value is None else round(value, 3), "goal": goal, "met": met}


def exit_with_usage_error(what: str, why: str, fix: str) -> NoReturn:
    """Print an error in three lines on stderr, and end the program with exit code 2."""
    print(f"error: {what}\n  why: {why}\n  try: {fix}", file=sys.stderr)
    raise SystemExit(USAGE_ERROR)


def data_path(relative: str) -> Path:
    """Return the path of a data set below the folder NSAD_DATA; end the program in three lines if it is not there.

    Args:
        relative: The path of a file or folder below NSAD_DATA, such as `gsm8k/test.jsonl`.
    """
    root = os.environ.get("NSAD_DATA")
    what, fix = f"no data at $NSAD_DATA/{relative}", f"export NSAD_DATA=FOLDER, where FOLDER/{relative} exists"
    if not root:
        exit_with_usage_error(what, "NSAD_DATA is not set", fix)
    path = Path(root) / relative
    if not path.exists():
        exit_with_usage_error(what, f"NSAD_DATA is {root}, and {path} does not exist", fix)
    return path


def close_to_machine(rate: float, device: torch.device, size: int = 1536, dtype: torch.dtype | None = None) -> float:
    """A rate (floating-point operations a second) as a share of a plain matrix product's on this device."""
    import torch

    a, b = torch.randn(2, size, size, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(8):
        started = time.perf_counter()
        (a @ b).sum().item()
        best = min(best, time.perf_counter() - started)
    return rate / (2 * size**3 / best)


def matmul_rate(rows: int, inputs: int, outputs: int, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a linear layer [rows, inputs] → [rows, outputs] on the CPU."""
    import torch

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
