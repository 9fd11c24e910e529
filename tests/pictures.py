"""Make the pictures and the example chains of the documentation from the recorded runs: python -m tests.pictures

Written are docs/pictures/*.svg and docs/examples/chains.jsonl. The same recorded runs and code give the same bytes. No
model is loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from nsad_cli.cli.render.solution import print_solution
from nsad_cli.dashboard.app import Dashboard
from nsad_cli.dashboard.context import DashboardContext
from nsad_cli.dashboard.demo_runs import recorded_runs
from nsad_cli.dashboard.live import run_list
from nsad_cli.grading.chains import grade_chains
from nsad_cli.grading.checker import Checker
from nsad_cli.inference.solver import Solution, VoteSettings
from nsad_cli.inference.vote_file import scored_by_steps
from nsad_cli.voting.chain_sets import chain_sets, open_store
from nsad_cli.voting.rules import vote, winner_is_right

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from nsad_cli.types import Chain, Problem

DOCS = Path(__file__).parent.parent / "docs"
RUN = "demo"
"""The recorded run that is shown."""
SIZE = (120, 34)
SCREENS = {
    "dashboard": ("curves", ("left", "left")),
    "dashboard-runs": ("runs", ()),
    "dashboard-votes": ("votes", ("s", "down", "down", "enter", "f", "enter")),
    "dashboard-data": ("data", ("down", "tab", "down", "down")),
}
"""A picture's name, the screen that is shown, and the keys that are pressed in it."""
EXAMPLE_CHAINS = 4
DARK = TerminalTheme(
    (30, 34, 42),
    (214, 219, 229),
    [(30, 34, 42), (231, 105, 112), (126, 200, 130), (223, 186, 101), (104, 164, 230), (190, 132, 222), (92, 190, 196),
     (214, 219, 229)],
    [(110, 118, 132), (240, 130, 136), (150, 220, 154), (240, 205, 130), (130, 185, 245), (206, 156, 236),
     (120, 210, 214), (240, 243, 248)],
)  # fmt: skip
"""The colours of a terminal's text."""


def main(folder: Path = DOCS) -> list[Path]:
    """Write every picture and the example chains into a folder."""
    folder, written = folder.resolve(), []
    with recorded_runs() as recorded, tempfile.TemporaryDirectory() as temporary, contextlib.chdir(temporary):
        home = shutil.copytree(recorded, Path("runs"))  # the dashboard shows this path
        for name, (screen, keys) in SCREENS.items():
            written.append(_write(folder / "pictures" / f"{name}.svg", dashboard_svg(home, screen, keys)))
        with open_store(home / RUN / "chains.sqlite") as store:
            measured, student = _sets(store)
            problems = store.problems(**measured.key)
            eight = [(problem, store.get(problem.id, **measured.key)) for problem in problems]
            four = [(problem, store.get(problem.id, **student.key)[:EXAMPLE_CHAINS]) for problem in problems]
    written.append(_write(folder / "pictures" / "solve.svg", solve_svg(eight)))
    written.append(_write(folder / "examples" / "chains.jsonl", example_lines(four)))
    return written


def _sets(store: Any) -> tuple[Any, Any]:
    """The chains of NAT, which only the evaluation has sampled, and those of the student."""
    found = {item.model: item for item in chain_sets(store) if item.has_votes}
    return found["nat"], found["nce"]


def dashboard_svg(home: Path, screen: str, keys: tuple[str, ...]) -> str:
    """A screen of the dashboard as SVG, after some keys."""
    run_list.REFRESH_SECONDS = 60.0  # one refresh reads all runs, however busy the machine is
    ended = max((home / name / "manifest.json").stat().st_mtime for name in (RUN,))
    app = Dashboard(DashboardContext(home, RUN, clock=lambda: ended + 3600), screen)

    async def shown(pilot: Pilot[Any]) -> None:
        """Wait until nothing is read in the background."""
        quiet = 0
        while quiet < 10:
            await pilot.pause(0.02)
            busy = getattr(app.screen, "busy", None)
            quiet = 0 if callable(busy) and busy() else quiet + 1

    async def take() -> str:
        async with app.run_test(size=SIZE) as pilot:
            await shown(pilot)
            for key in keys:
                await pilot.press(key)
                await shown(pilot)
            return app.export_screenshot(title=f"nsad dashboard · {screen}")

    return asyncio.run(take())


def solve_svg(problems: list[tuple[Problem, list[Chain]]]) -> str:
    """The output of `nsad solve` for a problem where counting is wrong and weights of step checks are right.

    It is the first such problem whose winner has several chains.
    """
    with Checker() as checker:
        for problem, raw in scored_by_steps(problems):
            chains = grade_chains(raw, problem.answer, checker)
            ballot = vote(chains, "asc")
            several = ballot.votes and ballot.votes[0].count > 1
            if several and winner_is_right(chains, ballot) and not winner_is_right(chains, vote(chains, "sc")):
                break
        else:
            raise ValueError("no recorded problem whose votes differ")
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True, color_system="truecolor",
                      highlight=False)  # fmt: skip
    console.print(f'[bold green]$[/] [bold]nsad solve[/] "{problem.question.strip()}"\n')
    asked = dataclasses.replace(problem, answer="")  # `nsad solve` knows no gold answer
    print_solution(Solution(asked, ballot, tuple(chains)), VoteSettings(len(chains), "asc"), console=console)
    return console.export_svg(title="nsad solve", theme=DARK)


def example_lines(problems: list[tuple[Problem, list[Chain]]]) -> str:
    """Problems with chains as `nsad vote FILE` reads them."""
    rows = [
        {
            "id": problem.id,
            "question": problem.question,
            "gold": problem.answer,
            "chains": [
                {"text": chain.text, "answer": chain.answer, "logprob": round(chain.logprob, 4)}
                if chain.logprob is not None
                else {"text": chain.text, "answer": chain.answer}
                for chain in chains
            ],
        }
        for problem, chains in problems
    ]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write(path: Path, text: str) -> Path:
    """Write a file; an SVG loses the fonts that it would request from other servers, and gets a prefix of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".svg":
        text = re.sub(r"@font-face \{.*?\}", "", text, flags=re.DOTALL)
        text = re.sub(r"terminal-\d+-", f"{path.stem}-", text)
        text = re.sub(r"font-family: ?Fira Code,", "font-family: Fira Code, DejaVu Sans Mono, Menlo, Consolas,", text)
        text = "\n".join(line.rstrip() for line in text.splitlines() if line.strip()) + "\n"
    path.write_text(text, encoding="utf-8")
    return path


if __name__ == "__main__":
    for path in main(*map(Path, sys.argv[1:2])):
        print(path)
