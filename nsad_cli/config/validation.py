"""Validation of a recipe's values, with errors that name the key, its place and the nearest known key."""

from __future__ import annotations

import re
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from nsad_cli.config.ranker_kinds import BUILT_IN, ENCODER, ranker_kinds
from nsad_cli.config.schema import RankerConfig, Recipe, TrainingConfig
from nsad_cli.errors import UsageError, did_you_mean


def validate_recipe(values: dict[str, Any], source: str, *, whole: bool = True) -> Recipe:
    """Validate a recipe's values.

    Args:
        values: The values.
        source: The name of their source, for errors.
        whole: Whether the recipe is complete, so that settings must also be consistent with each other.

    Returns:
        The recipe.

    Raises:
        UsageError: A key is unknown (the error suggests the most similar one), or a value is invalid.
    """
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        raise _usage_error(error, source) from None
    if whole:
        _check_ranker(recipe.training.ranker, source)
        check_held_out(recipe.training, source)
    return recipe


def check_held_out(training: TrainingConfig, source: str) -> None:
    """Raise UsageError if the best checkpoint is to be kept, but no problem is held out to find it."""
    if training.held_out == 0 and training.keep != "last":
        raise UsageError(
            f"{source}: `training.held_out` is 0",
            "no problem would be held out to choose the best checkpoint by",
            "set training.keep to last, or training.held_out above 0, e.g. 0.05",
        )


def _check_ranker(ranker: RankerConfig, source: str) -> None:
    if ranker.kind not in (kinds := ranker_kinds()):
        raise UsageError(
            f"{source}: `training.ranker.kind` is not valid",
            f"neither nsad nor an installed package has the ranker `{ranker.kind}`",
            f"{did_you_mean(ranker.kind, kinds)} known: {', '.join(kinds)}".strip(),
        )
    if ranker.kind == ENCODER and not ranker.model:
        raise UsageError(
            f"{source}: the ranker `encoder` has no model",
            "training.ranker.kind is `encoder`, and training.ranker.model is not set",
            "name one (training.ranker.model=google/flan-t5-base, or a folder), or set kind to head or probe",
        )
    if ranker.head != "linear" and ranker.kind != ENCODER:
        raise UsageError(
            f"{source}: training.ranker.head is for encoders",
            f"the ranker `{ranker.kind}` has a linear head",
            "unset it, or set training.ranker.kind to encoder",
        )
    if ranker.kind in BUILT_IN and ranker.kind != ENCODER and ranker.model:
        raise UsageError(
            f"{source}: the ranker `{ranker.kind}` takes no model",
            f"it uses no model of its own, but training.ranker.model is `{ranker.model}`",
            "unset it (--set \"training.ranker.model=''\"), or set training.ranker.kind to encoder",
        )


def _usage_error(error: ValidationError, source: str) -> UsageError:
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    more = error.error_count() - 1
    others = f" (and {more} more errors)" if more else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"][:-1])
        hint = did_you_mean(str(first["loc"][-1]), known)
        fix = f"{hint} " if hint else ""
        return UsageError(
            f"{source}: unknown key `{path}`{others}",
            "no setting has this name",
            f"{fix}known here: {', '.join(sorted(known))}",
        )
    why, fix = str(first["msg"]).removeprefix("Value error, "), _where_to_correct(path, source)
    if first["type"] == "literal_error":
        known = re.findall(r"'([^']*)'", first["ctx"]["expected"])
        why = f"`{str(first['input'])[:80]}` is not one of {', '.join(known)}"
        fix = f"{did_you_mean(str(first['input']), known)} {fix}".strip()
    return UsageError(f"{source}: `{path}` is not valid{others}" if path else f"{source} is not valid", why, fix)


def _where_to_correct(path: str, source: str) -> str:
    if source == "flags":
        return f"correct the flag, or the --set, that gives `{path}`"
    return f"correct `{path}` in the recipe" if path else "correct the recipe"


def _known_keys(path: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Recipe
    for part in path:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        annotation = next((kind for kind in get_args(annotation) if kind is not type(None)), annotation)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)
