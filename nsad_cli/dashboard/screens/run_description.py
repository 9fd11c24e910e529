"""Description of a run for the runs screen: its status, its stages, the next commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nsad_cli.dashboard.screens.run_detail import display_path, next_steps, stage_summary
from nsad_cli.dashboard.screens.run_rows import STATES, state_text
from nsad_cli.utils.durations import CLOCK_TOLERANCE_SECONDS, ago, span
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nsad_cli.dashboard.live.run_files import StageRecord
    from nsad_cli.dashboard.live.run_status import RunRow


class RunDescription:
    """The description of a run at a point in time.

    Args:
        row: The run.
        now: The time in seconds since 1970.
        colours: Colours by meaning; see `themes.tints`.
    """

    def __init__(self, row: RunRow, now: float, colours: Mapping[str, str]) -> None:
        self.row, self.now, self.colours = row, now, colours

    def render(self, side_by_side: bool) -> RenderableType:
        """Render the description; `side_by_side` puts the stages beside the rest, for low screens."""
        stages = self._stages()
        if not side_by_side or not self.row.stages:
            return Group(self._head(), Text(), stages, *([Text()] if self.row.stages else []), self._next())
        columns = Table.grid(padding=(0, 2, 0, 0), expand=True)
        columns.add_column(ratio=4)
        columns.add_column(ratio=3)
        columns.add_row(stages, Group(self._head(), self._next()))
        return columns

    def _head(self) -> Text:
        """Render the name, the status, and the headline metric."""
        row = self.row
        text = Text().append(row.name, "bold").append(" (chosen)" if row.chosen else "")
        text.append("\n").append_text(state_text(row, self.colours)).append(f"  {self._status()}")
        if row.why:
            text.append(f"\n{row.why}")
        if row.headline:
            text.append(f"\n{row.headline.text} {row.headline.kind} ({row.headline.of})")
        if self._clocks_differ:
            text.append("\n! ", self.colours["warning"])
            text.append(f"its latest event is {ago(self.now - (row.latest_time or 0.0))}: one of the clocks is wrong")
            if row.idle_seconds is not None:
                text.append("; stalling is detected from when new events are seen here")
        return text

    @property
    def _clocks_differ(self) -> bool:
        """Whether the run's latest event is in this machine's future."""
        return self.row.latest_time is not None and self.row.latest_time > self.now + CLOCK_TOLERANCE_SECONDS

    def _status(self) -> str:
        """Return stage, part, steps, time left, and time since the last event."""
        row = self.row
        parts = [f"{row.stage} {row.part}".strip()]
        if row.step is not None:
            parts.append(f"{row.step} of {row.total}")
        if row.seconds_left:
            parts.append(f"{span(row.seconds_left)} left")
        if row.state == "stalled":
            parts.append(f"no event {'seen ' if self._clocks_differ else ''}for {span(row.idle_seconds)}")
        return " · ".join(part for part in parts if part)

    def _stages(self) -> Table:
        """Render each stage's state, duration and result."""
        stages = Table.grid(padding=(0, 1, 0, 0))
        for stage in self.row.stages:
            # If the process of a running stage has ended, only the run's state reflects it.
            state = self.row.state if stage.state == "running" else stage.state
            glyph, tint = STATES.get(state, ("·", "text"))
            lines = [*([] if state == "finished" else [state]), *stage_summary(stage)]
            result = Text("\n".join(line for line in lines if line != self.row.why))  # the header shows row.why
            duration = Text(span(self._duration(stage)), self.colours["dim"], justify="right")
            stages.add_row(Text(glyph, self.colours[tint]), Text(stage.name), duration, result)
        return stages

    def _duration(self, stage: StageRecord) -> float | None:
        """Return a stage's seconds, up to now if it is running; None if its process was killed."""
        if stage.state != "running":
            return stage.seconds
        if self.row.state not in ("running", "stalled") or stage.started > self.now + CLOCK_TOLERANCE_SECONDS:
            return None
        return (stage.seconds or 0.0) + max(self.now - stage.started, 0.0)

    def _next(self) -> Text:
        """Render the next commands, the folder, the age and the version."""
        row = self.row
        text = Text("next\n")
        for line in next_steps(row):
            text.append(f"  {line}\n", "bold" if line.startswith("nsad") else "")
        created = "" if row.created is None else f"\ncreated {ago(self.now - row.created)}"
        version = f" by NSAD {escape_controls(row.version)}" if row.version else ""
        return text.append(f"{escape_controls(display_path(row.path))}{created}{version}", self.colours["dim"])
