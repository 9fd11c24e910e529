"""The cells of a study: one run for each arm and seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import RANKER, stages_for, training_stages
from nsad_cli.config.validation import validate_recipe
from nsad_cli.runs.run import Run, check_name, runs_home

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nsad_cli.config.schema import Recipe
    from nsad_cli.config.stages import Stage
    from nsad_cli.study.definition import Arm, Study


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A cell: the run STUDY.ARM.SEED, with its whole recipe."""

    study: str
    arm: Arm
    seed: int
    recipe: Recipe
    ranker: bool = False
    """Whether a ranker is trained after the model."""

    @property
    def name(self) -> str:
        """The run's name."""
        return f"{self.study}.{self.arm.name}.{self.seed}"

    @property
    def table(self) -> Mapping[str, Stage]:
        """The table of stages for its recipe."""
        return stages_for(self.recipe.training.negative.source)

    @property
    def stages(self) -> tuple[str, ...]:
        """The training stages of its model, in order; the model's own stage is the last."""
        return training_stages(self.arm.model, self.recipe.training.negative.source)

    @property
    def trained(self) -> tuple[str, ...]:
        """Its training stages in order: those of its model, and the ranker if it has one."""
        return (*self.stages, *([RANKER.name] if self.ranker else []))

    @property
    def run(self) -> Run:
        """The run, which need not exist."""
        return Run(runs_home() / self.name)


def make_cells(study: Study) -> tuple[Cell, ...]:
    """Make the cells of a study in the order in which they run: seed by seed, the control first.

    Raises:
        UsageError: An arm's settings are not valid.
    """
    arms = sorted(study.arms, key=lambda arm: arm.name != study.control)
    cells = tuple(
        Cell(study.name, arm, seed, _recipe(study, arm, seed), study.needs_ranker)
        for seed in study.seeds
        for arm in arms
    )
    for cell in cells:
        check_name(cell.name)
    return cells


def _recipe(study: Study, arm: Arm, seed: int) -> Recipe:
    own = {"name": None, "seed": seed, "evaluation.models": [arm.model]}
    return with_settings(study.recipe, {**arm.settings, **own}, f"the arm `{arm.name}`")


def with_settings(recipe: Recipe, settings: Mapping[str, Any], source: str) -> Recipe:
    """Return a recipe with some settings replaced.

    Args:
        recipe: The recipe.
        settings: Values by dotted key; None is a value.
        source: Where the settings come from, for errors.

    Raises:
        UsageError: A key is unknown or a value is not valid.
    """
    values = recipe.model_dump(mode="json")
    for key, value in settings.items():
        *sections, last = key.split(".")
        section = values
        for name in sections:
            below = section.get(name)
            section[name] = below if isinstance(below, dict) else {}
            section = section[name]
        section[last] = value
    return validate_recipe(values, source)
