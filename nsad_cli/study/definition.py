"""The definition of a study: a recipe, arms, seeds, control and budget rule, from a YAML file or flags."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nsad_cli.config.choices import require_choice
from nsad_cli.config.recipes import find_recipe, load_recipe, read_yaml
from nsad_cli.config.stages import STUDENT, models
from nsad_cli.config.validation import validate_recipe
from nsad_cli.errors import UsageError, did_you_mean
from nsad_cli.runs.run import check_name, is_valid_name, runs_home
from nsad_cli.voting.rules import RANKER_RULES
from nsad_cli.voting.rules import RULES as VOTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nsad_cli.config.schema import Recipe

EQUAL = ("total-tokens", "steps", "parameters")
"""The rules of equal budgets; see study.budget."""
RULES = ("greedy", *VOTES)
"""The answers that a study compares: greedy ones, or votes."""
STUDY_KEYS = ("arms", "control", "equal", "name", "recipe", "rule", "seeds")
"""The keys of a study's file; every other key is one of the recipe."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm: a model of the table of stages, with settings that replace the recipe's, by dotted key.

    `control` is the arm that it is compared with; None for the study's control.
    """

    name: str
    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    control: str | None = None


@dataclass(frozen=True, slots=True)
class Study:
    """A study; `seeds` are the recipes' seeds."""

    name: str
    recipe: Recipe
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    control: str
    equal: str | None = None
    rule: str = RULES[0]

    @property
    def needs_ranker(self) -> bool:
        """Whether each cell trains a ranker."""
        return self.rule in RANKER_RULES

    def control_of(self, arm: Arm) -> str | None:
        """Return the arm that an arm is compared with; None for the study's control without one of its own."""
        return arm.control or (self.control if arm.name != self.control else None)

    @property
    def path(self) -> Path:
        """The folder of its shared store and its results."""
        return study_path(self.name)


def study_path(name: str) -> Path:
    """Return the folder of a study."""
    return runs_home() / "studies" / name


def load_study(
    target: str, *, arms: Sequence[str] | None = None, overrides: Mapping[str, Any] | None = None, **flags: Any
) -> Study:
    """Load a study.

    Args:
        target: A YAML file with the key `arms`, or a recipe (a file, or the name of a shipped one).
        arms: Names of the file's arms or of models, in place of all of the file's; required with a recipe.
        overrides: Values of the recipe by dotted key; None values are skipped.
        **flags: `name`, `seeds`, `control`, `equal` and `rule` in place of the file's; None values are skipped.

    Returns:
        The study.

    Raises:
        UsageError: A file is missing or malformed, or a name or value is not valid.
    """
    path = find_recipe(target)
    values = read_yaml(path)
    own = {key: values.get(key) for key in STUDY_KEYS} if "arms" in values else {}
    own |= {key: value for key, value in flags.items() if value is not None}
    if arms is not None:
        own["arms"] = _chosen(arms, own.get("arms"))
    recipe = _recipe(path, values, overrides or {})
    if not own.get("arms"):
        raise UsageError(
            "the study has no arms",
            f"{path} has no key `arms`, and --arms is not given" if arms is None else "--arms is empty",
            "give e.g. --arms cot-kd,nat,nat-control",
        )
    found = _arms(own["arms"], str(path))
    study = Study(
        name=str(own.get("name") or (None if "arms" in values else recipe.name) or path.stem),
        recipe=recipe,
        arms=found,
        seeds=_seeds(own.get("seeds"), recipe.seed),
        control=str(own.get("control") or found[0].name),
        equal=None if own.get("equal") is None else str(own["equal"]),
        rule=str(own.get("rule") or RULES[0]),
    )
    _check(study)
    return study


def _recipe(path: Path, values: Mapping[str, Any], overrides: Mapping[str, Any]) -> Recipe:
    """Load the recipe of a study: its file's, or the one that the file names with the file's own keys above it."""
    if "arms" not in values:
        return load_recipe(path, overrides)
    inline = {key: value for key, value in values.items() if key not in STUDY_KEYS}
    validate_recipe(inline, str(path), whole=False)
    base = values.get("recipe")
    beside = path.parent / str(base)
    found = None if base is None else beside if beside.is_file() else find_recipe(str(base))
    return load_recipe(found, {**inline, **overrides})


def _chosen(names: Sequence[str], defined: Any) -> Any:
    """Return chosen arms: those that the file defines as it defines them, others as models."""
    if len(set(names)) < len(names) or not isinstance(defined, dict):
        return list(names)
    return {name: defined.get(name) for name in names}


def _arms(given: Any, source: str) -> tuple[Arm, ...]:
    """Parse a list of models, or a mapping of names to nothing or to {model, set}."""
    listed = isinstance(given, list) and all(isinstance(item, str) for item in given)
    entries = dict.fromkeys(given) if listed else given
    if not isinstance(entries, dict) or (listed and len(entries) < len(given)):
        raise UsageError(
            f"the arms of {source} are malformed",
            "an arm is repeated" if listed else "`arms` is neither a list of models nor a mapping of names",
            "write e.g. `arms: [cot-kd, nat]`, or `arms: {longer: {model: nat, set: {training.nat.epochs: 2}}}`",
        )
    return tuple(_arm(str(name), entry) for name, entry in entries.items())


def _arm(name: str, entry: Any) -> Arm:
    entry = {} if entry is None else entry
    settings = entry.get("set") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or set(entry) - {"model", "set", "control"} or not isinstance(settings, dict | None):
        raise UsageError(
            f"the arm `{name}` is malformed",
            "an arm has the keys `model`, `control` and `set`, a mapping of recipe keys to values, and no others",
            f"write e.g. `{name}: {{model: nat, set: {{training.nat.epochs: 2}}}}`",
        )
    model = str(entry.get("model") or name)
    if model not in models():
        hint = did_you_mean(model, models())
        raise UsageError(
            f"unknown model `{model}` in an arm",
            "the table of stages has no such model",
            f"{hint + ' ' if hint else ''}models: {', '.join(models())}",
        )
    control = entry.get("control")
    return Arm(
        name,
        model,
        {str(key): value for key, value in (settings or {}).items()},
        None if control is None else str(control),
    )


def _seeds(given: Any, first: int) -> tuple[int, ...]:
    """Parse a number of seeds, counted from the recipe's, or a list of them."""
    given = 1 if given is None else given
    found = tuple(range(first, first + given)) if isinstance(given, int) and not isinstance(given, bool) else given
    whole = isinstance(found, list | tuple) and all(isinstance(seed, int) and seed >= 0 for seed in found)
    if not whole or not found or len(set(found)) < len(found):
        raise UsageError("invalid seeds", f"`{given}` is neither a number above 0 nor a list of seeds", "seeds: 3")
    return tuple(found)


def _check(study: Study) -> None:
    """Check the parts that only a whole study has.

    Raises:
        UsageError: One is not valid.
    """
    check_name(study.name)
    for arm in study.arms:
        if not is_valid_name(arm.name):
            raise UsageError(
                f"`{arm.name}` is not a valid name of an arm",
                "it is part of the names of runs",
                "use letters, digits, `.`, `_` and `-`",
            )
    require_choice(study.control, [arm.name for arm in study.arms], "--control")
    for arm in study.arms:
        others = [other.name for other in study.arms if other is not arm]
        if arm.control is not None:
            require_choice(arm.control, others, f"control of the arm {arm.name}")
    require_choice(study.rule, RULES, "--rule")
    if study.equal is not None:
        require_choice(study.equal, EQUAL, "--equal")
    if not study.recipe.evaluation.benchmarks:
        raise UsageError(
            "the study has no benchmark",
            "evaluation.benchmarks of its recipe is empty",
            "set it in the file, or give --set evaluation.benchmarks=[gsm8k:test]",
        )
    if study.rule != RULES[0] and not study.recipe.evaluation.samples:
        raise UsageError(
            f"no chains to vote by {study.rule}",
            "evaluation.samples of the study's recipe is 0",
            "set evaluation.samples, or compare greedy answers",
        )
    other = next((arm for arm in study.arms if arm.model != STUDENT.name), None)
    if study.needs_ranker and other is not None:
        raise UsageError(
            f"the arm `{other.name}` has no ranker for {study.rule}",
            f"a run's ranker scores the chains of its student, {STUDENT.name}, and not those of {other.model}",
            f"leave the arm out, give it the model {STUDENT.name}, or compare by sc or wsc",
        )
