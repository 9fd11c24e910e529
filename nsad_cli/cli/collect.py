"""`nsad collect`: problems × teacher → rationales."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsad_cli.cli.options import AsJson, Force, RunName, Settings, parse_settings
from nsad_cli.cli.output import print_json, say


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
    concurrency: Annotated[int | None, typer.Option("--concurrency", help="Requests under way at once.")] = None,
    store: Annotated[Path | None, typer.Option("--store", help="Share a store between runs.")] = None,
    run_name: RunName = None,
    settings: Settings = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Ask a teacher to solve problems; a draw that is stored is never asked for again."""
    from nsad_cli.cli.target import execute, new_or_existing_run

    overrides = {
        "teacher.spec": teacher,
        "teacher.base_url": base_url or None,
        "teacher.draws": draws,
        "teacher.temperature": temperature,
        "teacher.max_tokens": max_tokens,
        "teacher.concurrency": concurrency,
        "problems.train": problems,
        "problems.limit": limit,
        **parse_settings(settings),
    }
    run = new_or_existing_run(run_name, overrides, store)
    result = execute(run, ["collect"], force=force)["collect"]
    if as_json:
        print_json({"run": run.name, **{key: value for key, value in result.items() if key != "problem_ids"}})
        return
    say(
        f"{result['draws']} draws of {result['problems']} problems by {result['teacher']}, {result['new']} of them new"
        + (f"; {result['failed']} failed" if result["failed"] else "")
    )
    say(f"next: nsad grade --run {run.name}")
