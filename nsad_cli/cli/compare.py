"""`nsad compare`: tables of models of one run or several, from the answers that `nsad eval` has stored."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from nsad_cli.cli import completions
from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import AsJson, ProblemSpecs
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from nsad_cli.evaluation.comparison import Selection
    from nsad_cli.evaluation.stored_chains import Side


def compare(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN[:MODEL][@ENGINE]",
            help="Runs, or single models. RUN may contain *. Default: the run that `nsad runs use` has set, or the "
            "newest.",
            autocompletion=completions.run_names,
        ),
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(
            "--models",
            metavar="MODEL,…",
            help="Default: every model with stored answers; with --weights the run's best one.",
        ),
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(
            "--rules",
            metavar="RULE,…",
            help="greedy, a rule of votes, any, mean or pass@K. Default: all but mean and pass@K.",
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Divide the problems by subject or level, one column for each.")
    ] = None,
    weights: Annotated[
        bool,
        typer.Option("--weights", help="Compare the ways to weight votes: counts, free scores, the ranker's scores."),
    ] = False,
    problems: ProblemSpecs = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="The first N problems of each benchmark.")] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", "-n", min=2, help="Chains per problem in votes. Default: as many as stored."),
    ] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", help="The engine that sampled the chains. Default: the run's.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare models of one run or several by their stored answers: accuracy, overlap, paired tests, seeds."""
    selection = _selection(
        targets, _split(models), _split(rules), by, weights, problems, limit=limit, samples=samples, engine=engine
    )
    from nsad_cli.cli.render.comparison import comparison_report, weights_report
    from nsad_cli.evaluation.comparison import compare_stored, compare_weights
    from nsad_cli.grading.checker import Checker

    with Checker() as checker:
        result = (compare_weights if weights else compare_stored)(selection, checker)
    for item in result["left_out"]:
        what = f"{', '.join(item['what'])} not compared: " if "what" in item else ""
        note(f"{item['benchmark']}: {what}{item['why']}")
    if as_json:
        print_json(result)
        return
    for place, table in enumerate(weights_report(result) if weights else comparison_report(result)):
        out().print(*([""] if place else []), table, sep="\n")


def _split(names: str | None) -> list[str] | None:
    return None if names is None else list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))


def _selection(
    targets: Sequence[str] | None,
    models: Sequence[str] | None,
    rules: Sequence[str] | None,
    by: str | None,
    weights: bool,
    specs: Sequence[str] | None,
    *,
    limit: int | None,
    samples: int | None,
    engine: str | None,
) -> Selection:
    """Parse the arguments.

    Raises:
        UsageError: An argument is invalid, or no benchmark is named.
        NsadError: A run cannot be read, or has not trained a named model.
    """
    from nsad_cli.config.choices import require_choice
    from nsad_cli.errors import UsageError
    from nsad_cli.evaluation.comparison import SHOWN_RULES, Selection
    from nsad_cli.evaluation.grouping import GROUPINGS
    from nsad_cli.evaluation.outcomes import MEAN

    if by is not None:
        require_choice(by, GROUPINGS, "--by")
    for rule in rules or ():
        if not (rule.startswith("pass@") and rule.removeprefix("pass@").isdigit()):
            require_choice(rule, (*SHOWN_RULES, MEAN), "--rules")
    if weights and (by or rules):
        raise UsageError(
            "invalid usage of `nsad compare --weights`",
            "it compares every rule on all problems",
            "omit --by and --rules",
        )
    sides, named = _sides(targets, models, engine, only_best=weights)
    options = " ".join([f"--problems {spec}" for spec in specs or ()] + ([] if limit is None else [f"--limit {limit}"]))
    specs = specs or list(dict.fromkeys(spec for side in sides for spec in side.run.recipe.evaluation.benchmarks))
    if not specs:
        raise UsageError("no benchmark given", "the runs' recipes have none", "give --problems NAME[:SPLIT][@PATH]")
    grouping = next((name for name in GROUPINGS if name == by), None)
    return Selection(sides, named, specs, limit, samples, rules, grouping, options)


def _sides(
    targets: Sequence[str] | None, models: Sequence[str] | None, engine: str | None, *, only_best: bool
) -> tuple[list[Side], list[Side]]:
    """Return the models of the targets, and those of them that were named by the user."""
    from nsad_cli.cli.compare_models import parse_side
    from nsad_cli.cli.run_selection import existing_run
    from nsad_cli.evaluation.stored_chains import models_with_chains
    from nsad_cli.runs.run import Run

    sides: dict[str, Side] = {}
    named: dict[str, Side] = {}
    for target in targets or [existing_run(None).name]:
        what, at, of_engine = target.partition("@")
        pattern, _, model = what.partition(":")
        for run in _matching(pattern):
            available = models_with_chains(Run.open(run))
            for name in [model] if model else models or ([""] if only_best else available):
                side = parse_side(f"{run}:{name}{at}{of_engine}", engine)
                sides.setdefault(side.name, side)
                if model or models:
                    named.setdefault(side.name, side)
    return list(sides.values()), list(named.values())


def _matching(pattern: str) -> list[str]:
    """Return the names of the runs that a pattern matches, in alphabetical order; a name without * is itself."""
    from nsad_cli.errors import UsageError
    from nsad_cli.runs.run import list_runs, runs_home

    if "*" not in pattern:
        return [pattern]
    found = sorted(run.name for run in list_runs() if fnmatch.fnmatchcase(run.name, pattern))
    if not found:
        raise UsageError(
            f"no run matches `{pattern}`", f"{runs_home()} has no such run", "list the runs with `nsad runs`"
        )
    return found
