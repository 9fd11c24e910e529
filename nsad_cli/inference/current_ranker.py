"""The ranker of a run: whether it is there, and whether the model that it reads still is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.config.ranker_kinds import PROBE
from nsad_cli.rankers.metadata import ADAPTER, PROBED_MODEL, ranker_name, read_metadata
from nsad_cli.runs.models import has_model, model_key

if TYPE_CHECKING:
    from nsad_cli.config.schema import Recipe
    from nsad_cli.runs.run import Run


def outlived(run: Run, recipe: Recipe) -> bool:
    """Whether the run's ranker is a probe of states that the student no longer has.

    Raises NsadError where the folder holds no ranker.
    """
    about = read_metadata(run.adapter_path(ADAPTER))
    return about["kind"] == PROBE and about["reads"] != model_key(run, recipe, PROBED_MODEL)


def present_ranker(run: Run) -> str | None:
    """The name of the ranker that would score the run's chains now; None where there is none.

    Raises NsadError where the run has finished one and its folder holds none.
    """
    if not has_model(run, ADAPTER) or outlived(run, run.recipe):
        return None
    return ranker_name(run.adapter_path(ADAPTER))
