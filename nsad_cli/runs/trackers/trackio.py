"""Trackio: a local database, or the server or Space that its own variables name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.runs.trackers.values import sent_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nsad_cli.runs.run import Run

PROJECT = "nsad"


class TrackioTracker:
    """See trackers.listener.Tracker."""

    def __init__(self, run: Run) -> None:
        import trackio

        self._run = trackio.init(
            project=PROJECT,
            name=run.identifier,
            config=sent_recipe(run.recipe),
            resume="allow",
            embed=False,
            auto_log_cpu=False,  # events have the machine's load
            auto_log_gpu=False,
        )

    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None:  # noqa: ARG002  # a step is of one name
        """Queue the values; a thread of the package writes them."""
        self._run.log(dict(values), step=step)

    def close(self, failed: bool) -> None:  # noqa: ARG002  # a run has no state there
        """Wait until the queue is written, for as long as the package itself allows."""
        import trackio

        trackio.finish()  # not the run's: the package would finish it again at exit, with a message on stdout
