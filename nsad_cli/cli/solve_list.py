"""`nsad solve --file`: many problems, with progress; stopped and given again it goes on where it was."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nsad_cli.cli.console import err, out, print_json
from nsad_cli.cli.render.progress import PLAIN_EVERY
from nsad_cli.cli.render.solution import print_solution, solution_json
from nsad_cli.inference.run_solver import open_solver
from nsad_cli.types import Problem
from nsad_cli.utils.logs import note, shows_notes

if TYPE_CHECKING:
    from rich.console import Console

    from nsad_cli.inference.solver import Solution, VoteSettings
    from nsad_cli.runs.run import Run

QUESTION = 48
"""Characters of a question beside its answer."""


def solve_list(
    run: Run,
    problems: Sequence[Problem],
    ask: VoteSettings,
    device: str | None,
    engine: str,
    *,
    verbose: bool,
    as_json: bool,
) -> None:
    """Solve problems in groups that fill the engine's batch; print each in order, or one object at the end."""
    solutions: dict[str, Solution] = {}
    printed = 0
    with (
        open_solver(run, problems, ask, device, engine) as asking,
        progress(len(problems)) as (console, solved),
    ):
        for start in range(0, len(problems), asking.together):
            for solution in asking.solver.solve(problems[start : start + asking.together]):
                asking.keep(solution)
                solutions[solution.problem.id] = solution
                solved(len(solutions))
                while not as_json and printed < len(problems) and problems[printed].id in solutions:
                    _print(console, printed + 1, solutions[problems[printed].id], ask, verbose)
                    printed += 1
    ordered = [solutions[problem.id] for problem in problems]
    if as_json:
        print_json({"solutions": [_json(solution, ask) for solution in ordered]})
        return
    for line in _summary(ordered, ask):
        out().print(line)


def _print(console: Console, number: int, solution: Solution, ask: VoteSettings, verbose: bool) -> None:
    from nsad_cli.cli.render.votes import shown

    problem, ballot = solution.problem, solution.ballot
    question = " ".join(problem.question.split())
    question = question if len(question) <= QUESTION else question[: QUESTION - 1] + "…"
    if verbose:
        console.print(f"[bold]{number}  {shown(problem.question)}[/]")
        print_solution(solution, ask, verbose=True, console=console)
        return
    right = _right(solution)
    mark = "" if right is None else "[green]✓[/] " if right else "[red]✗[/] "
    answer = "[yellow]no answer[/]" if ballot.answer is None else f"[bold]{shown(ballot.answer)}[/]"
    share = "" if ballot.answer is None else f" [dim]{_standing(solution)}[/]"
    console.print(f"[dim]{number:>4}[/]  {mark}{answer}{share}  [dim]{shown(question)}[/]")


def _standing(solution: Solution) -> str:
    """The winner's share of the weight; under `best`, which one chain decides, its score."""
    from nsad_cli.voting.rules import ranking_weights

    ballot = solution.ballot
    return f"{ranking_weights(solution.chains, ballot)[0]:.3f}" if ballot.rule == "best" else f"{ballot.share:.0%}"


def _json(solution: Solution, ask: VoteSettings) -> dict[str, Any]:
    problem, right = solution.problem, _right(solution)
    known = {} if right is None else {"gold": problem.answer, "correct": right}
    return {"id": problem.id, "question": problem.question, **known, **solution_json(solution, ask)}


def _right(solution: Solution) -> bool | None:
    """Whether the answer is right; None where no gold answer is known."""
    from nsad_cli.voting.rules import winner_is_right

    return winner_is_right(solution.chains, solution.ballot) if solution.problem.answer else None


def _summary(solutions: Sequence[Solution], ask: VoteSettings) -> list[str]:
    from nsad_cli.utils.statistics import wilson

    drawn = sum(len(solution.chains) for solution in solutions)
    answered = sum(solution.ballot.answer is not None for solution in solutions)
    lines = [f"{len(solutions)} solved, {answered} with an answer; {drawn} chains"]
    if ask.stop_at is not None:
        lines[0] += f" of {ask.samples * len(solutions)}, stopped at {ask.stop_at:.0%}"
    verdicts = [right for right in map(_right, solutions) if right is not None]
    if verdicts:
        low, high = wilson(sum(verdicts), len(verdicts))
        lines.append(f"{sum(verdicts)} of {len(verdicts)} right (95 % interval {low:.1%} – {high:.1%})")
    return lines


@contextlib.contextmanager
def progress(total: int) -> Iterator[tuple[Console, Callable[[int], None]]]:
    """A bar of problems solved on stderr in a terminal, elsewhere a line at times.

    Gives the console for results, which in the bar's own terminal must appear above it, and takes how many are done.
    """
    if not (sys.stderr.isatty() and shows_notes()):
        last = time.monotonic()

        def tell(done: int) -> None:
            nonlocal last
            if done == total or time.monotonic() - last >= PLAIN_EVERY:
                last = time.monotonic()
                note(f"solved {done}/{total}")

        yield out(), tell
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
