"""Live progress of a run's stages, on stderr: bars in a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from nsad_cli.cli.console import StderrHandler
from nsad_cli.runs.event_log import Event
from nsad_cli.runs.run import Run
from nsad_cli.utils.distributed import is_main_process
from nsad_cli.utils.logs import shows_notes
from nsad_cli.utils.terminal_text import escape_controls

SHOWN = (
    ("loss", "loss {:.3f}"),
    ("held_out_loss", "held-out {:.3f}"),
    ("learning_rate", "lr {:.1e}"),
    ("tokens_per_second", "{:.0f} tok/s"),
    ("chains_per_second", "chains/s: {}"),
    ("model", "{}"),
    ("benchmark", "{}"),
    ("pair_accuracy", "pairs {:.0%}"),
    ("ranking_accuracy", "held-out pairs {:.0%}"),
    ("ece_after", "calibration error {:.3f}"),
    ("batches", "open batches: {:.0f}"),
    ("answered", "completed requests in them: {:.0f}"),
    (
        "waiting",
        "waiting for {:.0f} draws claimed by other processes (claims of a dead host lapse after 2 minutes)",
    ),
    ("spent", "${:.4f} spent"),
    ("projected", "${:.4f} in total"),
    ("unsure", "up to ${:.4f} more for replies that were lost or lack usage"),
)
MAX_NODES = 4
"""With more nodes, the sum of their rates is shown."""
PLAIN_EVERY = 10.0
"""The number of seconds between plain lines."""


class Display:
    """A context that shows a run's events as progress; notes are printed above the bars. Silent with --quiet."""

    def __init__(self, run: Run) -> None:
        self._live = sys.stderr.isatty() and is_main_process() and shows_notes()
        self._stage = ""
        self._last = 0.0
        self._seen: dict[str, dict[str, Any]] = {}
        if shows_notes():
            run.events.subscribe(self._event)
        if self._live:
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            from nsad_cli.cli.safe_console import SafeConsole

            self._progress = Progress(
                TextColumn("{task.description:<14}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("[dim]{task.fields[info]}"),
                console=SafeConsole(stderr=True, highlight=False),
                refresh_per_second=4,
            )
            self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Display:
        if self._live:
            self._progress.start()
            StderrHandler.bars = self._progress.console
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            StderrHandler.bars = None
            self._progress.stop()

    def _event(self, event: Event) -> None:
        name = " ".join([event.stage, *filter(None, [event.metrics.get("model")])])
        known = self._seen.setdefault(name, {})
        known.update(event.metrics)
        info = " · ".join(
            text.format(_by_node(known[key]) if key == "chains_per_second" else known[key])
            for key, text in SHOWN
            if isinstance(known.get(key), int | float | str | dict) and key != "model"
        )
        if self._live:
            if name not in self._tasks:
                self._tasks[name] = self._progress.add_task(name, total=event.total, info="")
            self._progress.update(self._tasks[name], completed=event.step, total=event.total, info=info)
            return
        now = time.monotonic()
        if name != self._stage or event.step == event.total or now - self._last >= PLAIN_EVERY:
            self._stage, self._last = name, now
            print(escape_controls(f"{name} {event.step}/{event.total} {info}".rstrip()), file=sys.stderr, flush=True)


def _by_node(rates: dict[str, float]) -> str:
    if len(rates) > MAX_NODES:
        return f"{sum(rates.values()):.1f} on {len(rates)} nodes"
    return ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items())
