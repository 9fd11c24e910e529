"""`nsad collect`: problems × teacher → rationales."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nsad_cli.cli.console import print_json
from nsad_cli.cli.options import AsJson, Force, RunName, Settings, parse_settings
from nsad_cli.errors import UsageError
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from nsad_cli.runs.run import Run


def collect(
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            envvar="NSAD_TEACHER",
            help="A model's name (gpt-4), arithmetic, or hf:, vllm:, tdg:, gsm8k-solutions:, jsonl: and a path.",
        ),
    ] = None,
    problems: Annotated[
        str | None, typer.Option("--problems", metavar="NAME[:SPLIT][@PATH]", help="The training problems.")
    ] = None,
    base_url: Annotated[
        list[str] | None, typer.Option("--base-url", help="An OpenAI-compatible server; repeatable.")
    ] = None,
    draws: Annotated[int | None, typer.Option("-k", "--draws", help="Rationales per problem.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="The first N problems.")] = None,
    temperature: Annotated[float | None, typer.Option("--temperature")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", help="Tokens per reply, at most.")] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="positives=N,negatives=N", help="Draw on for problems that lack a side."),
    ] = None,
    max_draws: Annotated[
        int | None, typer.Option("--max-draws", help="With --until: draws per problem, at most.")
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", help="US dollars for this command to spend, at most.")
    ] = None,
    batch: Annotated[
        bool | None,
        typer.Option("--batch/--no-batch", help="By OpenAI's Batch API: half the price, within a day."),
    ] = None,
    give_up: Annotated[
        str | None, typer.Option("--give-up", metavar="BATCH", help="Ask (and pay) anew for a batch that is lost.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Quote calls, tokens and cost; ask for nothing.")] = False,
    concurrency: Annotated[int | None, typer.Option("--concurrency", help="Requests under way at once.")] = None,
    requests_per_minute: Annotated[int | None, typer.Option("--rpm", help="Requests a minute, at most.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option("--tpm", help="Tokens a minute, at most.")] = None,
    store: Annotated[Path | None, typer.Option("--store", help="Share a store between runs.")] = None,
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
    if give_up is not None:
        _give_up(run, give_up)
    result = execute(run, ["collect"], force=force)["collect"]
    if as_json:
        print_json({"run": run.name, **{key: value for key, value in result.items() if key != "problem_ids"}})
        return
    note(
        f"{result['draws']} draws of {result['problems']} problems by {result['teacher']}, {result['new']} of them new"
        + (f"; {result['failed']} failed" if result["failed"] else "")
        + (f"; ${result['cost']:.4f}" if result.get("cost") else "")
    )
    note(f"next: nsad grade --run {run.name}")


def _give_up(run: Run, batch: str) -> None:
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
