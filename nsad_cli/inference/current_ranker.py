"""The current ranker of a run: whether it exists, and whether it fits the run's current weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.config.ranker_kinds import NEEDS_STUDENT
from nsad_cli.rankers.metadata import ADAPTER, PROBED_MODEL, ranker_name, read_metadata
from nsad_cli.runs.models import has_model, model_key

if TYPE_CHECKING:
    from nsad_cli.config.schema import Recipe
    from nsad_cli.runs.run import Run


def is_stale(run: Run, recipe: Recipe) -> bool:
    """Return whether the run's ranker depends on a student that has been trained again since.

    Raises:
        NsadError: The ranker's folder contains no ranker.
    """
    about = read_metadata(run.adapter_path(ADAPTER))
    return about["kind"] in NEEDS_STUDENT and about["reads"] != model_key(run, recipe, PROBED_MODEL)


def current_ranker(run: Run) -> str | None:
    """Return the name of the ranker that scores the run's chains now; None if there is none or it is stale.

    Raises:
        NsadError: The stage is finished, but the ranker's folder contains no ranker.
    """
    if not has_model(run, ADAPTER) or is_stale(run, run.recipe):
        return None
    return ranker_name(run.adapter_path(ADAPTER), run.recipe.solve.weights)
