"""NSAD: learn from a large model's wrong answers as well as its right ones.

The names of the Python API are loaded when they are first used; see nsad_cli.api.
"""

from __future__ import annotations

import importlib
from typing import Any

from nsad_cli.utils.version import __version__

__all__ = [
    "Chain",
    "Grade",
    "Problem",
    "Verdict",
    "VoteExplanation",
    "__version__",
    "add_nat",
    "evaluate",
    "explain_vote",
    "grade",
    "load_run",
    "make_chains",
    "solve",
    "solve_all",
    "train",
    "vote",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("nsad_cli.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
