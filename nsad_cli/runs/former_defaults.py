"""Settings whose default has changed: a run of an earlier version keeps the value that it was trained with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nsad_cli.config.schema import Recipe

FORMER_DEFAULTS: dict[str, dict[str, Any]] = {
    "negative": {"warmup_steps": 200},
    "nat": {"warmup_steps": 200},
    "nce": {"warmup_steps": 1000, "batch_size": 1},
    "ranker": {"warmup_steps": 0, "kind": "head", "samples": 4, "teacher_rationales": True},
}
"""What version 0.1 did by default, by section under `training`."""


def keep_former_defaults(recipe: Recipe, stored: Recipe) -> Recipe:
    """Return a recipe that leaves no stage of a run stale only because a default has changed.

    Args:
        recipe: The recipe.
        stored: The run's stored recipe, which holds numbers for all settings.

    Returns:
        The recipe, with the former default of each setting that it does not set and for which the run has that value.
    """
    training = recipe.training
    for name, former in FORMER_DEFAULTS.items():
        section, own = getattr(training, name), getattr(stored.training, name)
        unset = {key: value for key, value in former.items() if key not in section.model_fields_set}
        kept = {key: value for key, value in unset.items() if getattr(own, key) == value}
        if kept:
            training = training.model_copy(update={name: section.model_copy(update=kept)})
    return recipe if training is recipe.training else recipe.model_copy(update={"training": training})
