"""TensorBoard: event files in the run's folder, written by torch; the recipe lies beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nsad_cli.runs.run import Run

FOLDER = "tensorboard"


class TensorBoardTracker:
    """See trackers.listener.Tracker."""

    def __init__(self, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run.path / FOLDER))

    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None:  # noqa: ARG002  # a step is of one name
        """Append the values to the event file."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self, failed: bool) -> None:  # noqa: ARG002
        """Write what is buffered."""
        self._writer.close()
