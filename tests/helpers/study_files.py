"""Studies of a tiny student, as files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from nsad_cli.config.recipes import recipe_yaml
from tests.helpers.tiny_recipes import recipe

if TYPE_CHECKING:
    from pathlib import Path

EVALUATION = {"benchmarks": ["arithmetic:test"], "limit": 12, "samples": 0}


def study_file(folder: Path, model: Path, arms: Any, **more: Any) -> Path:
    """A study of a tiny student, as a file that names its recipe."""
    settings = recipe(model, evaluation=EVALUATION)
    quick = {**settings.model_dump(mode="json")["training"]["nat"], "epochs": 1, "checks": 1}
    training = settings.training.model_dump(mode="json")
    training.update(negative=quick, nat=quick)
    training["ranker"]["split"] = 0
    (folder / "tiny.yaml").write_text(recipe_yaml(settings), encoding="utf-8")
    path = folder / "compare.yaml"
    path.write_text(
        yaml.safe_dump({"recipe": "tiny.yaml", "training": training, "arms": arms, **more}, sort_keys=False)
    )
    return path
