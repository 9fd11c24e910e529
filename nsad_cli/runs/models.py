"""The models that a run has, by name and key; nothing is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.config.prompts import FEW_SHOT, few_shot_demonstrations, label
from nsad_cli.config.stages import BEST_FIRST, UNTRAINED, stages
from nsad_cli.errors import NsadError
from nsad_cli.runs.base_model import base_key
from nsad_cli.utils.hashing import content_key

if TYPE_CHECKING:
    from nsad_cli.config.schema import Recipe
    from nsad_cli.runs.run import Run


def has_model(run: Run, name: str) -> bool:
    """Return whether the run has trained this model; untrained models always exist."""
    return name in UNTRAINED or run.stages().get(name, {}).get("state") == "finished"


def best_model(run: Run) -> str:
    """Return the run's best model: NCE, else NAT, else the untrained base."""
    return next(name for name in BEST_FIRST if has_model(run, name))


def require_model(run: Run, name: str) -> None:
    """Raise NsadError if the run has not trained a model."""
    if not has_model(run, name):
        raise NsadError(
            f"run `{run.name}` has no {name} adapter",
            "that stage has not finished",
            f"train it with `{stages()[name].command_line} --run {run.name}`",
        )


def prompt_of(recipe: Recipe, name: str) -> dict[str, Any]:
    """Return what distinguishes the prompts of a model, as fields of models.student.Student; empty for most models."""
    if name == FEW_SHOT:
        return {"demonstrations": few_shot_demonstrations(recipe.evaluation)}
    return {"label": label(right=True)} if name in stages() and stages()[name].labels else {}


def model_key(run: Run, recipe: Recipe, name: str) -> str:
    """Return the key under which a model's chains are stored: its weights' digest, or a hash of the base's settings.

    Chains of a trained model in another dtype than that of its training have another key.

    Raises:
        NsadError: The run has not trained the model.
    """
    student = recipe.student
    if name in UNTRAINED:
        more = [few_shot_demonstrations(recipe.evaluation)] if name == FEW_SHOT else []
        return content_key(name, base_key(run, recipe), student.template, student.dtype, student.load_in_4bit, *more)
    require_model(run, name)
    result = run.stages()[name]["result"]
    weights, trained_in = str(result["weights"]), result.get("dtype", student.dtype)
    return weights if student.dtype == trained_in else content_key(weights, student.dtype)
