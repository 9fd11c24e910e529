"""`nsad solve`: answer one problem, or those of a file, by the vote of several chains."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nsad_cli.cli.console import print_json
from nsad_cli.cli.options import AsJson, Device, EngineName, RunName, StopAt, VoteRule

if TYPE_CHECKING:
    from nsad_cli.inference.solver import Solution, VoteSettings
    from nsad_cli.runs.run import Run
    from nsad_cli.types import Problem


def solve(
    question: Annotated[
        str | None, typer.Argument(metavar="PROBLEM", help="The problem's text; - reads standard input.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help='A file: one problem per line, or {"question": "…"} if it ends in .jsonl.'),
    ] = None,
    rule: VoteRule = None,
    samples: Annotated[int | None, typer.Option("--samples", "-n", min=1, help="Number of chains.")] = None,
    stop_at: StopAt = None,
    wave: Annotated[int, typer.Option("--wave", min=1, help="With --stop-at: chains sampled at once.")] = 4,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            show_default=False,
            help="Print every chain in full, by steps; -vv adds debug logs.",
        ),
    ] = 0,
    run_name: RunName = None,
    engine: EngineName = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Answer a problem by a vote of several chains of the student, weighted by the ranker. The run keeps the chains."""
    from nsad_cli.cli.render.solution import print_solution
    from nsad_cli.inference.solution_json import solution_json
    from nsad_cli.runs.run import Run

    check_rule(rule)
    check_engine(engine)
    problems = _problems(question, file)
    run = Run.open(run_name, finished=True)
    settings = vote_settings(run, samples, rule, stop_at, wave)
    if file is not None:
        from nsad_cli.cli.solve_list import solve_list

        solve_list(run, problems, settings, device, engine, verbose=verbose > 0, as_json=as_json)
        return
    solution = solve_with(run, problems[0], settings, device, engine)
    if as_json:
        print_json(solution_json(solution, settings))
    else:
        print_solution(solution, settings, verbose=verbose > 0)


def _problems(question: str | None, file: Path | None) -> list[Problem]:
    """Return the problems of the command line: one text, or those of a file.

    Raises:
        UsageError: Neither is given and stdin is not a terminal to ask on, or both are, or the text is empty.
    """
    from nsad_cli.errors import UsageError
    from nsad_cli.problems.question_files import make_problem, read_question, read_questions

    if question is None and file is None and sys.stdin.isatty():
        question = typer.prompt("Problem", err=True)
    if (question is None) == (file is None):
        raise UsageError("give either PROBLEM or --file FILE", "exactly one of them is needed", 'write nsad solve "…"')
    if file is not None:
        return read_questions(file.expanduser())
    text = read_question(question or "").strip()
    if not text:
        raise UsageError("the problem is empty", "there is nothing to solve", 'write nsad solve "…", or pipe it to -')
    return [make_problem(text)]


def vote_settings(run: Run, samples: int | None, rule: str | None, stop_at: float | None, wave: int) -> VoteSettings:
    """Return the settings of a run's votes, with the options given in place of the recipe's.

    Raises:
        UsageError: The rule does not support early stopping.
    """
    from nsad_cli.inference.solver import VoteSettings
    from nsad_cli.voting.early_stopping import require_stoppable

    settings = VoteSettings.of(run.recipe.solve, samples, rule, stop_at, wave)
    if stop_at is not None:
        require_stoppable(settings.rule)
    return settings


def check_engine(engine: str | None) -> None:
    """Raise UsageError for an invalid engine, and NsadError for one that is not installed; None is the run's."""
    from nsad_cli.config.engine_spec import EngineSpec, parse_engine
    from nsad_cli.generation.ray_cluster import require_ray
    from nsad_cli.generation.vllm_process import require_vllm

    parsed = EngineSpec() if engine is None else parse_engine(engine)
    if parsed.by_ray:  # its nodes need vLLM, this process does not
        require_ray()
    elif parsed.kind == "vllm":
        require_vllm("the engine vllm", "use --engine hf")


def check_rule(rule: str | None, *more: str) -> None:
    """Raise UsageError for an unknown rule."""
    from nsad_cli.errors import UsageError, did_you_mean
    from nsad_cli.voting.rules import RULES

    known = (*RULES, *more)
    if rule is not None and rule not in known:
        fix = f"{did_you_mean(rule, known)} rules: {', '.join(known)}".strip()
        raise UsageError(f"unknown rule `{rule}`", "there is no such vote rule", fix)


def solve_with(
    run: Run, problem: Problem, settings: VoteSettings, device: str | None = None, engine: str | None = None
) -> Solution:
    """Solve a problem with a run's best model, showing the votes as chains arrive."""
    from nsad_cli import api
    from nsad_cli.cli.render.live_votes import LiveVotes

    with LiveVotes(settings) as votes:
        return api.solve(
            problem,
            run,
            **dataclasses.asdict(settings),
            device=device,
            engine=engine,
            on_chain=votes,
            on_tokens=votes.tokens,
        )
