"""What the runs screen says about the run under the cursor: its status, its stages, the next commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nsad_cli.dashboard.durations import CLOCK_TOLERANCE_SECONDS, ago, span
from nsad_cli.dashboard.screens.run_detail import as_typed, next_steps, outcome
from nsad_cli.dashboard.screens.run_rows import STATES, state_text
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nsad_cli.dashboard.live.run_files import StageRecord
    from nsad_cli.dashboard.live.run_status import RunRow


class RunDescription:
    """A run described at a moment.

    Args:
        row: The run.
        now: The time in seconds since 1970.
        colours: Colours by meaning; see `themes.tints`.
    """

    def __init__(self, row: RunRow, now: float, colours: Mapping[str, str]) -> None:
        self.row, self.now, self.colours = row, now, colours

    def render(self, side_by_side: bool) -> RenderableType:
        """All of it; with little height the stages are beside the rest."""
        stages = self._stages()
        if not side_by_side or not self.row.stages:
            return Group(self._head(), Text(), stages, *([Text()] if self.row.stages else []), self._next())
        columns = Table.grid(padding=(0, 2, 0, 0), expand=True)
        columns.add_column(ratio=4)
        columns.add_column(ratio=3)
        columns.add_row(stages, Group(self._head(), self._next()))
        return columns

    def _head(self) -> Text:
        """The name, the status, and the key figure."""
        row = self.row
        text = Text().append(row.name, "bold").append(" (chosen)" if row.chosen else "")
        text.append("\n").append_text(state_text(row, self.colours)).append(f"  {self._status()}")
        if row.why:
            text.append(f"\n{row.why}")
        if row.figure:
            text.append(f"\n{row.figure.text} {row.figure.kind} ({row.figure.of})")
        if self._clocks_differ:
            text.append("\n! ", self.colours["warning"])
            text.append(f"it tells of times {ago(self.now - (row.latest or 0.0))}: one of the clocks is wrong")
            if row.silent is not None:
                text.append("; whether it has stalled goes by what is seen from here")
        return text

    @property
    def _clocks_differ(self) -> bool:
        """Whether the run's latest event is in this machine's future."""
        return self.row.latest is not None and self.row.latest > self.now + CLOCK_TOLERANCE_SECONDS

    def _status(self) -> str:
        """Stage, model and benchmark, steps, time left, silence."""
        row = self.row
        parts = [f"{row.stage} {row.part}".strip()]
        if row.step is not None:
            parts.append(f"{row.step} of {row.total}")
        if row.seconds_left:
            parts.append(f"{span(row.seconds_left)} left")
        if row.state == "stalled":
            parts.append(f"no event for {span(row.silent)}{' since it is watched' if self._clocks_differ else ''}")
        return " · ".join(part for part in parts if part)

    def _stages(self) -> Table:
        """Each stage's state, duration and result."""
        stages = Table.grid(padding=(0, 1, 0, 0))
        for stage in self.row.stages:
            # If the process of a running stage is gone, the run's state says so; the stage's own state does not.
            state = self.row.state if stage.state == "running" else stage.state
            glyph, tint = STATES.get(state, ("·", "text"))
            lines = [*([] if state == "finished" else [state]), *outcome(stage)]
            result = Text("\n".join(line for line in lines if line != self.row.why))  # the head shows row.why
            duration = Text(span(self._duration(stage)), self.colours["dim"], justify="right")
            stages.add_row(Text(glyph, self.colours[tint]), Text(stage.name), duration, result)
        return stages

    def _duration(self, stage: StageRecord) -> float | None:
        """Seconds, of a running stage until now; None if its process was killed."""
        if stage.state != "running":
            return stage.seconds
        if self.row.state not in ("running", "stalled") or stage.started > self.now + CLOCK_TOLERANCE_SECONDS:
            return None
        return (stage.seconds or 0.0) + max(self.now - stage.started, 0.0)

    def _next(self) -> Text:
        """The next commands, the folder, the age and the version."""
        row = self.row
        text = Text("next\n")
        for line in next_steps(row):
            text.append(f"  {line}\n", "bold" if line.startswith("nsad") else "")
        made = "" if row.created is None else f"\nmade {ago(self.now - row.created)}"
        version = f" by NSAD {escape_controls(row.version)}" if row.version else ""
        return text.append(f"{escape_controls(as_typed(row.path))}{made}{version}", self.colours["dim"])
