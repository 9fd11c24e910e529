"""`nsad solve --file`: many problems, with progress; run again after an interruption it resumes."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nsad_cli import api
from nsad_cli.cli.console import err, out, print_json
from nsad_cli.cli.render.progress import PLAIN_EVERY
from nsad_cli.cli.render.solution import print_solution
from nsad_cli.inference.solution_json import solution_json
from nsad_cli.types import Problem
from nsad_cli.utils.logs import note, shows_notes

if TYPE_CHECKING:
    from rich.console import Console

    from nsad_cli.inference.solver import Solution, VoteSettings
    from nsad_cli.runs.run import Run

QUESTION_WIDTH = 48
"""Characters of a question shown beside its answer."""


def solve_list(
    run: Run,
    problems: Sequence[Problem],
    settings: VoteSettings,
    device: str | None,
    engine: str | None,
    *,
    verbose: bool,
    as_json: bool,
) -> None:
    """Solve problems; print each in order as soon as possible, or one object at the end."""
    solutions: dict[str, Solution] = {}
    printed = 0
    with progress(len(problems)) as (console, solved):
        for solution in api.solve_all(problems, run, **dataclasses.asdict(settings), device=device, engine=engine):
            solutions[solution.problem.id] = solution
            solved(len(solutions))
            while not as_json and printed < len(problems) and problems[printed].id in solutions:
                _print(console, printed + 1, solutions[problems[printed].id], settings, verbose)
                printed += 1
    ordered = [solutions[problem.id] for problem in problems]
    if as_json:
        print_json({"solutions": [_json(solution, settings) for solution in ordered]})
        return
    for line in _summary(ordered, settings):
        out().print(line)


def _print(console: Console, number: int, solution: Solution, settings: VoteSettings, verbose: bool) -> None:
    from nsad_cli.cli.render.votes import shown

    problem, ballot = solution.problem, solution.ballot
    question = " ".join(problem.question.split())
    question = question if len(question) <= QUESTION_WIDTH else question[: QUESTION_WIDTH - 1] + "…"
    if verbose:
        console.print(f"[bold]{number}  {shown(problem.question)}[/]")
        print_solution(solution, settings, verbose=True, console=console)
        return
    right = _right(solution)
    mark = "" if right is None else "[green]✓[/] " if right else "[red]✗[/] "
    answer = "[yellow]no answer[/]" if ballot.answer is None else f"[bold]{shown(ballot.answer)}[/]"
    share = "" if ballot.answer is None else f" [dim]{_share(solution)}[/]"
    console.print(f"[dim]{number:>4}[/]  {mark}{answer}{share}  [dim]{shown(question)}[/]")


def _share(solution: Solution) -> str:
    """The winner's share of the weight; by `best`, which one chain decides, that chain's score."""
    from nsad_cli.voting.rules import ranking_weights

    ballot = solution.ballot
    return f"{ranking_weights(solution.chains, ballot)[0]:.3f}" if ballot.rule == "best" else f"{ballot.share:.0%}"


def _json(solution: Solution, settings: VoteSettings) -> dict[str, Any]:
    problem, right = solution.problem, _right(solution)
    known = {} if right is None else {"gold": problem.answer, "correct": right}
    return {"id": problem.id, "question": problem.question, **known, **solution_json(solution, settings)}


def _right(solution: Solution) -> bool | None:
    """Whether the answer is right; None if no gold answer is known."""
    from nsad_cli.voting.rules import winner_is_right

    return winner_is_right(solution.chains, solution.ballot) if solution.problem.answer else None


def _summary(solutions: Sequence[Solution], settings: VoteSettings) -> list[str]:
    from nsad_cli.utils.statistics import wilson

    chains = sum(len(solution.chains) for solution in solutions)
    answered = sum(solution.ballot.answer is not None for solution in solutions)
    lines = [f"{len(solutions)} solved, {answered} with an answer; {chains} chains"]
    if settings.stop_at is not None:
        lines[0] += f" of {settings.samples * len(solutions)}, stopped at {settings.stop_at:.0%}"
    verdicts = [right for right in map(_right, solutions) if right is not None]
    if verdicts:
        low, high = wilson(sum(verdicts), len(verdicts))
        lines.append(f"{sum(verdicts)} of {len(verdicts)} right (95 % interval {low:.1%} – {high:.1%})")
    return lines


@contextlib.contextmanager
def progress(total: int) -> Iterator[tuple[Console, Callable[[int], None]]]:
    """Show the number of solved problems on stderr: a bar on a terminal, else a line now and then.

    Yields:
        The console for results, which on the bar's own terminal prints above the bar, and a function that takes the
        number of solved problems.
    """
    if not (sys.stderr.isatty() and shows_notes()):
        last = time.monotonic()

        def report(done: int) -> None:
            nonlocal last
            if done == total or time.monotonic() - last >= PLAIN_EVERY:
                last = time.monotonic()
                note(f"solved {done}/{total}")

        yield out(), report
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("solved"), BarColumn(bar_width=24), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, *times, console=err(), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("solved", total=total)
        yield bar.console if sys.stdout.isatty() else out(), lambda done: bar.update(task, completed=done)
