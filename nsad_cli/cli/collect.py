"""`nsad collect`: problems × teacher → rationales."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsad_cli.cli.console import print_json
from nsad_cli.cli.options import AsJson, Force, RunName, Settings, parse_settings
from nsad_cli.errors import UsageError
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from nsad_cli.runs.run import Run


TeacherSpec = Annotated[
    str | None,
    typer.Option(
        "--teacher",
        envvar="NSAD_TEACHER",
        help="A model's name (gpt-4), arithmetic, or hf:, vllm:, tdg:, gsm8k-solutions:, jsonl: and a path.",
    ),
]
TrainingProblems = Annotated[
    str | None, typer.Option("--problems", metavar="NAME[:SPLIT][@PATH]", help="The training problems.")
]
BaseUrls = Annotated[list[str] | None, typer.Option("--base-url", help="An OpenAI-compatible server; repeatable.")]
Draws = Annotated[int | None, typer.Option("-k", "--draws", help="Rationales per problem.")]
ProblemLimit = Annotated[int | None, typer.Option("--limit", help="The first N problems.")]
Temperature = Annotated[float | None, typer.Option("--temperature")]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", help="Tokens per reply, at most.")]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="positives=N,negatives=N", help="Draw on for problems that lack a side."),
]
MaxDraws = Annotated[int | None, typer.Option("--max-draws", help="With --until: draws per problem, at most.")]
MaxCost = Annotated[float | None, typer.Option("--max-cost", help="US dollars for this command to spend, at most.")]
BatchApi = Annotated[
    bool | None,
    typer.Option("--batch/--no-batch", help="By OpenAI's Batch API: half the price, within a day."),
]
AbandonBatch = Annotated[
    str | None,
    typer.Option("--abandon-batch", metavar="BATCH", help="Request (and pay) again what a lost batch was to bring."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Quote calls, tokens and cost; ask for nothing.")]
Concurrency = Annotated[int | None, typer.Option("--concurrency", help="Requests under way at once.")]
RequestsPerMinute = Annotated[int | None, typer.Option("--rpm", help="Requests a minute, at most.")]
TokensPerMinute = Annotated[int | None, typer.Option("--tpm", help="Tokens a minute, at most.")]
SharedStore = Annotated[Path | None, typer.Option("--store", help="Share a store between runs.")]
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
    concurrency: Concurrency = None,
    requests_per_minute: RequestsPerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    store: SharedStore = None,
    run_name: RunName = None,
    settings: Settings = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Ask a teacher to solve problems; a draw that is stored is never asked for again."""
    from nsad_cli.cli.run_selection import execute, new_or_existing_run, recipe_of, stopped_run

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
    if dry_run:
        from nsad_cli.cli.render.quote import show_quote
        from nsad_cli.pipeline.dry_run import quote_collection

        recipe = recipe_of(run_name, overrides)
        show_quote(quote_collection(run_name or stopped_run(recipe), recipe, store), as_json)
        return
    run = new_or_existing_run(run_name, overrides, store)
    if lost := abandon_batch or give_up:
        _abandon(run, lost)
    result = execute(run, ["collect"], force=force)["collect"]
    if as_json:
        print_json({"run": run.name, **{key: value for key, value in result.items() if key != "problem_ids"}})
        return
    _report(run, result)


def _report(run: Run, result: Mapping[str, Any]) -> None:
    note(
        f"{result['draws']} draws of {result['problems']} problems by {result['teacher']}, {result['new']} of them new"
        + (f"; {result['failed']} failed" if result["failed"] else "")
        + (f"; ${result['cost']:.4f}" if result.get("cost") else "")
    )
    note(f"next: nsad grade --run {run.name}")


def _abandon(run: Run, batch: str) -> None:
    from nsad_cli.store.rationales import Store

    with Store(run.store_path) as store:
        if not store.batches.abandon(batch):
            raise UsageError(
                f"the store of run `{run.name}` has no batch `{batch}` under way",
                "none is open under that id",
                "give the id that nsad named, with the --run or --store that it was made in",
            )


def _until(text: str | None, max_draws: int | None) -> dict[str, object]:
    """`positives=1,negatives=1` as settings.

    Raises UsageError for anything else.
    """
    if text is None:
        if max_draws is not None:
            raise UsageError(
                "--max-draws says how far --until may go",
                "it stands alone",
                "give --until positives=1,negatives=1 with it; -k is the number of draws for every problem",
            )
        return {}
    settings: dict[str, object] = {} if max_draws is None else {"teacher.until.max_draws": max_draws}
    settings |= {"teacher.until.positives": 0, "teacher.until.negatives": 0}
    for part in text.split(","):
        side, _, number = part.strip().partition("=")
        if side not in ("positives", "negatives") or not number.isdecimal():
            raise UsageError(
                f"--until `{text}` is not understood",
                f"`{part}` names no side and number",
                "give --until positives=1,negatives=1, or one of the two",
            )
        settings[f"teacher.until.{side}"] = int(number)
    return settings
