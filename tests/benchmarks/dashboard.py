"""The dashboard: how soon it is there, and what a frame of curves costs while points arrive.

    python -m tests.benchmarks.dashboard [--json] [--runs 100] [--columns 120] [--rows 36] [--points 1000 …]

Start: a real process in a pseudo-terminal, from its creation until the first screen names a run; the median of several.
Frames: the curves screen on a log of so many steps with four numbers each, its loss smoothed; before each frame ten
more steps are appended. A frame is the processor time of reading them and of all drawing, and its goal holds for the
median; by the clock, for comparison, it has Textual's own wait of up to 1/60 s in it. Decimation: a million points to
200 columns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import pty
import random
import re
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from fcntl import ioctl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nsad_cli.dashboard.app import Dashboard
from nsad_cli.dashboard.context import DashboardContext
from nsad_cli.dashboard.live.series import Series, decimate
from nsad_cli.dashboard.screens.curves import CurvesView
from nsad_cli.runs.manifest import FORMAT
from tests.benchmarks.dashboard_votes import build
from tests.benchmarks.dashboard_votes import figures as votes_figures
from tests.benchmarks.report import at_most, finish

if TYPE_CHECKING:
    from collections.abc import Callable

STARTS, FRAMES, ARRIVING = 7, 30, 10
Figures = dict[str, dict[str, Any]]


def make_run(home: Path, name: str, steps: int) -> Path:
    """A run that has told so many steps of a stage; its event log."""
    folder = home / name
    folder.mkdir(parents=True)
    done = {"state": "finished", "key": "k", "started": 1.79e9, "ended": 1.79e9 + steps, "seconds": steps}
    manifest: dict[str, Any] = {"format": FORMAT, "name": name, "created": 1.79e9, "versions": {}, "store": None}
    manifest["stages"] = {"negative": done}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "recipe.yaml").write_text("seed: 0\n")
    append(folder / "events.jsonl", 1, steps, steps)
    return folder / "events.jsonl"


def append(log: Path, first: int, count: int, total: int) -> None:
    """More steps, noisy ones; now and then one is not finite."""
    chance = random.Random(first)
    with log.open("a") as file:
        for step in range(first, first + count):
            metrics = {
                "loss": None if step % 997 == 0 else 0.3 + 2 * math.exp(-5 * step / total) + chance.gauss(0, 0.05),
                "learning_rate": 1e-4,
                "grad_norm": chance.lognormvariate(0, 0.5),
                "tokens_per_second": 170.7,
            }
            event = {"time": 1.79e9 + step, "stage": "negative", "step": step, "total": total, "metrics": metrics}
            file.write(json.dumps(event) + "\n")


# --- start ------------------------------------------------------------------------------------------------------------


def started(home: Path, size: tuple[int, int]) -> tuple[float, float]:
    """Seconds from a process's creation until its first screen names a run: by the clock, and of processor time."""
    outer, inner = pty.openpty()
    ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    env = {**os.environ, "NSAD_HOME": str(home), "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "nsad_cli", "dashboard"]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdin=inner, stdout=inner, stderr=inner, env=env, start_new_session=True)
    os.close(inner)
    seen = b""
    try:
        while not re.search(rb"run-\d", seen):
            if not select.select([outer], [], [], 30)[0]:
                raise SystemExit(f"no screen after 30 s: {seen[-500:]!r}")
            seen += os.read(outer, 1 << 16)
        by_clock = time.perf_counter() - begun
        spent = sum(map(int, Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(outer)
    return by_clock, spent / os.sysconf("SC_CLK_TCK")


def start(args: argparse.Namespace, folder: Path) -> Figures:
    """The program's start on many runs."""
    for i in range(args.runs):
        make_run(folder / "many", f"run-{i:03}", 200)
    found = [started(folder / "many", (args.columns, args.rows)) for _ in range(STARTS + 1)][1:]
    clock, spent = (statistics.median(values) for values in zip(*found, strict=True))
    return {"start_s": at_most(clock, 0.7), "start_processor_s": at_most(spent, None)}


# --- frames -----------------------------------------------------------------------------------------------------------


class Timed(Dashboard):
    """A dashboard whose frames are made when they are asked for, and which notes when the last one was drawn."""

    drawn = 0.0

    def follow_files(self) -> None:
        """Nothing: frames come from the measurement."""

    def _display(self, screen: Any, renderable: Any) -> None:
        super()._display(screen, renderable)
        self.drawn = time.perf_counter()


async def framed(home: Path, points: int, size: tuple[int, int]) -> tuple[float, list[float], list[float]]:
    """Seconds until a log is read whole; then each frame's processor time and time by the clock, in ms."""
    log = make_run(home, f"curves-{points}", points)
    app = Timed(DashboardContext(home, log.parent.name), "curves")
    begun = time.perf_counter()
    spent, by_clock = [], []
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        view = app.screen
        assert isinstance(view, CurvesView)
        view.tick()
        while view.reading.logs.pending:
            await asyncio.sleep(0.01)
        loaded = time.perf_counter() - begun
        await pilot.press("s", "s")
        await asyncio.sleep(0.5)
        for frame in range(FRAMES + 3):
            append(log, points + 1 + frame * ARRIVING, ARRIVING, points)
            clock, busy = time.perf_counter(), time.thread_time()
            view.tick()
            await asyncio.sleep(0.08)
            spent.append((time.thread_time() - busy) * 1e3)
            by_clock.append((app.drawn - clock) * 1e3)
        last = view.picture.chart.curves[0].series.steps[-1]
        assert last == points + (FRAMES + 3) * ARRIVING, "the last frame does not show what arrived"
    return loaded, spent[3:], by_clock[3:]


def frames(args: argparse.Namespace, folder: Path) -> Figures:
    """Frames of the curves screen, by how many points there are."""
    figures: Figures = {}
    for points in args.points:
        loaded, spent, by_clock = asyncio.run(framed(folder / "curves", points, (args.columns, args.rows)))
        figures[f"frame_{points}_ms"] = at_most(statistics.median(spent), 50)
        figures[f"frame_{points}_worst_ms"] = at_most(max(spent), None)
        figures[f"frame_{points}_by_the_clock_ms"] = at_most(statistics.median(by_clock), None)
        figures[f"frame_{points}_read_s"] = at_most(loaded, None)
    return figures


def decimation(_args: argparse.Namespace, _folder: Path) -> Figures:
    """A million points to 200 columns, without and with values that are not finite."""
    steps = np.arange(1e6)
    values = np.random.default_rng(0).normal(size=len(steps))
    broken = np.where(steps % 997 == 0, np.nan, values)
    figures = {}
    for name, numbers in (("decimation_ms", values), ("decimation_with_gaps_ms", broken)):
        series, times = Series(steps, numbers, steps), []
        for _ in range(30):
            begun = time.perf_counter()
            decimate(series, steps[0], steps[-1], 200)
            times.append((time.perf_counter() - begun) * 1e3)
        figures[name] = at_most(statistics.median(times), 7)
    return figures


def votes(_args: argparse.Namespace, folder: Path) -> Figures:
    """The votes of a run with 10,000 problems of 12 chains; see dashboard_votes.figures. Seconds."""
    run = folder / "votes" / "big"
    build(run)
    return {name: at_most(value, None) for name, value in votes_figures(run).items()}


MEASUREMENTS: tuple[Callable[[argparse.Namespace, Path], Figures], ...] = (start, frames, decimation, votes)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.dashboard", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--columns", type=int, default=120)
    parser.add_argument("--rows", type=int, default=36)
    parser.add_argument("--points", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    args = parser.parse_args()
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for measure in MEASUREMENTS:
            figures |= measure(args, Path(folder))
    conditions = {
        "runs": args.runs,
        "screen": f"{args.columns}x{args.rows}",
        "processors": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "python": sys.version.split()[0],
    }
    finish({"figures": figures, "conditions": conditions}, args.json)


if __name__ == "__main__":
    main()
