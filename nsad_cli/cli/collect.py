"""`nsad collect`: sample rationales from a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsad_cli.cli import completions
from nsad_cli.cli.console import print_json
from nsad_cli.cli.options import AsJson, Force, RunName, Settings, parse_settings
from nsad_cli.errors import UsageError
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from nsad_cli.config.schema import Recipe
    from nsad_cli.runs.run import Run


TeacherSpec = Annotated[
    str | None,
    typer.Option(
        "--teacher",
        autocompletion=completions.teachers,
        envvar="NSAD_TEACHER",
        help="A model name (gpt-4), arithmetic[:WORLD], or hf:, vllm:, tdg:, gsm8k-solutions: or jsonl: with a path.",
    ),
]
TrainingProblems = Annotated[
    str | None,
    typer.Option(
        "--problems",
        autocompletion=completions.problem_sets,
        metavar="NAME[:SPLIT][@PATH]",
        help="Training problems. Default: the teacher's own, else MATH's training set.",
    ),
]
BaseUrls = Annotated[list[str] | None, typer.Option("--base-url", help="An OpenAI-compatible server; repeatable.")]
Draws = Annotated[int | None, typer.Option("-k", "--draws", min=1, help="Rationales per problem.")]
ProblemLimit = Annotated[int | None, typer.Option("--limit", min=1, help="Use only the first N problems.")]
Temperature = Annotated[float | None, typer.Option("--temperature", min=0.0, help="Sampling temperature.")]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", min=1, help="Maximum tokens per reply.")]
Until = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="positives=N,negatives=N",
        help="Keep sampling until each problem has N correct and N wrong rationales.",
    ),
]
MaxDraws = Annotated[int | None, typer.Option("--max-draws", min=1, help="With --until: maximum draws per problem.")]
MaxCost = Annotated[float | None, typer.Option("--max-cost", help="Maximum cost of this command, in US dollars.")]
BatchApi = Annotated[
    bool | None,
    typer.Option("--batch/--no-batch", help="Use OpenAI's Batch API: half the price, results within a day."),
]
AbandonBatch = Annotated[
    str | None,
    typer.Option(
        "--abandon-batch", metavar="BATCH", help="Request the draws of a lost batch again (they are paid again)."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before collecting MATH, the default problems.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Estimate calls, tokens and cost; send no request.")]
Concurrency = Annotated[int | None, typer.Option("--concurrency", min=1, help="Maximum number of in-flight requests.")]
RequestsPerMinute = Annotated[int | None, typer.Option("--rpm", min=1, help="Maximum requests per minute.")]
TokensPerMinute = Annotated[int | None, typer.Option("--tpm", min=1, help="Maximum tokens per minute.")]
SharedStore = Annotated[Path | None, typer.Option("--store", help="A store file that several runs share.")]
OldAbandonBatch = Annotated[str | None, typer.Option("--give-up", hidden=True)]
"""The name of --abandon-batch in version 0.1."""


def collect(
    teacher: TeacherSpec = None,
    problems: TrainingProblems = None,
    base_url: BaseUrls = None,
    draws: Draws = None,
    limit: ProblemLimit = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    until: Until = None,
    max_draws: MaxDraws = None,
    max_cost: MaxCost = None,
    batch: BatchApi = None,
    abandon_batch: AbandonBatch = None,
    give_up: OldAbandonBatch = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    concurrency: Concurrency = None,
    requests_per_minute: RequestsPerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    store: SharedStore = None,
    run_name: RunName = None,
    settings: Settings = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Sample rationales from a teacher; stored samples are never requested again."""
    from nsad_cli.cli.collect_defaults import confirm_math
    from nsad_cli.cli.run_selection import execute, new_or_existing_run, stopped_run
    from nsad_cli.config.stages import COLLECT
    from nsad_cli.pipeline.preflight import preflight
    from nsad_cli.teachers import is_free

    overrides = {
        "teacher.spec": teacher,
        "teacher.base_url": base_url or None,
        "teacher.draws": draws,
        "teacher.temperature": temperature,
        "teacher.max_tokens": max_tokens,
        "teacher.max_cost": max_cost,
        "teacher.batch": batch,
        "teacher.concurrency": concurrency,
        "teacher.requests_per_minute": requests_per_minute,
        "teacher.tokens_per_minute": tokens_per_minute,
        "problems.train": problems,
        "problems.limit": limit,
        **_until(until, max_draws),
        **parse_settings(settings),
    }
    recipe, chosen = _with_problems(run_name, overrides)
    existing = run_name if run_name is not None else stopped_run(recipe)
    if dry_run:
        _quote(existing, recipe, store, as_json)
        return
    if chosen is not None and not is_free(recipe.teacher.spec):
        confirm_math(existing, recipe, store, yes=yes)
    preflight(recipe, [COLLECT.name], existing)
    run = new_or_existing_run(existing, overrides, store)
    if lost := abandon_batch or give_up:
        _abandon(run, lost)
    _report(run, execute(run, ["collect"], force=force)["collect"], as_json)


def _with_problems(run_name: str | None, overrides: dict[str, Any]) -> tuple[Recipe, str | None]:
    """Return the recipe, and the spec of the problems that were chosen because none are named; None if some are."""
    from nsad_cli.cli.collect_defaults import default_problems
    from nsad_cli.cli.run_selection import recipe_of

    recipe = recipe_of(run_name, overrides)
    chosen = default_problems(recipe)
    if chosen is None:
        return recipe, None
    overrides["problems.train"] = chosen
    return recipe_of(run_name, overrides), chosen


def _quote(run_name: str | None, recipe: Recipe, store: Path | None, as_json: bool) -> None:
    from nsad_cli.cli.collect_defaults import quote_math
    from nsad_cli.cli.render.quote import show_quote

    show_quote(quote_math(run_name, recipe, store), as_json)


def _report(run: Run, result: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json({"run": run.name, **{key: value for key, value in result.items() if key != "problem_ids"}})
        return
    note(
        f"{result['draws']} draws for {result['problems']} problems by {result['teacher']}, {result['new']} of them new"
        + (f"; {result['failed']} failed" if result["failed"] else "")
        + (f"; ${result['cost']:.4f}" if result.get("cost") else "")
    )
    note(f"next: nsad grade --run {run.name}")


def _abandon(run: Run, batch: str) -> None:
    from nsad_cli.cli.run_selection import remove_if_empty
    from nsad_cli.store.rationales import Store

    with Store(run.store_path) as store:
        if not store.batches.abandon(batch):
            remove_if_empty(run)
            raise UsageError(
                f"the store of run `{run.name}` has no open batch `{batch}`",
                "no unfinished batch has that id",
                "give the id that nsad printed, and the --run or --store that created the batch",
            )


def _until(text: str | None, max_draws: int | None) -> dict[str, object]:
    """Parse `positives=1,negatives=1` into recipe settings; raise UsageError for anything else."""
    if text is None:
        if max_draws is not None:
            raise UsageError(
                "--max-draws needs --until",
                "it limits the draws that --until requests",
                "add --until positives=1,negatives=1; -k is the number of draws for every problem",
            )
        return {}
    settings: dict[str, object] = {} if max_draws is None else {"teacher.until.max_draws": max_draws}
    settings |= {"teacher.until.positives": 0, "teacher.until.negatives": 0}
    for part in text.split(","):
        side, _, number = part.strip().partition("=")
        if side not in ("positives", "negatives") or not number.isdecimal():
            raise UsageError(
                f"invalid value `{text}` of --until",
                f"`{part}` is not positives=N or negatives=N",
                "give --until positives=1,negatives=1, or one of the two",
            )
        settings[f"teacher.until.{side}"] = int(number)
    return settings
