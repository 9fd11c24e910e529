"""Recipes whose whole run takes seconds, for tests of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.config.validation import validate_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.config.schema import Recipe

STAGE: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 8,
    "pack_tokens": 400,
    "learning_rate": 0.05,
    "warmup_steps": 1,
    "checks": 3,
}


def recipe(model: Path, **changes: Any) -> Recipe:
    """A whole run that takes seconds."""
    values: dict[str, Any] = {
        "student": {"model": str(model), "device": "cpu", "dtype": "float32"},
        "problems": {"train": "arithmetic:train", "limit": 20},
        "teacher": {"spec": "arithmetic", "draws": 3},
        "adapter": {"targets": "all-linear", "dropout": 0.1, "unit": {"size": 8, "targets": ["q_proj", "v_proj"]}},
        "training": {
            "held_out": 0.1,
            "negative": STAGE,
            "nat": STAGE,
            "nce": STAGE,
            "ranker": {
                **STAGE,
                "kind": "head",
                "teacher_rationales": True,
                "problems": 4,
                "samples": 2,
                "min_pairs": 3,
                "max_examples": 12,
            },
        },
        "sampling": {"max_new_tokens": 8},
        "evaluation": {"benchmarks": ["arithmetic:test"], "limit": 4, "samples": 2, "models": ["base", "nat", "nce"]},
    }
    return validate_recipe({**values, **changes}, "test")
