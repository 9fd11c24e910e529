"""`nsad stats`: counts of a run's rationales, chains and stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import AsJson, RunName
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from nsad_cli.runs.run import Run


def stats(
    overlap: Annotated[
        str | None,
        typer.Option(
            "--overlap",
            metavar="SPEC,…",
            help="Find training problems that overlap with problems of these benchmarks (NAME[:SPLIT][@PATH]).",
        ),
    ] = None,
    run_name: RunName = None,
    as_json: AsJson = False,
) -> None:
    """Count a run's rationales by verdict and subject, its chains and its stages; or find overlap with benchmarks."""
    from nsad_cli.cli.render.overlap import show_overlap
    from nsad_cli.cli.run_selection import existing_run
    from nsad_cli.runs.negative_effect import measured_effects
    from nsad_cli.runs.run import display_state

    run = existing_run(run_name)
    if overlap is not None:
        show_overlap(run, [spec.strip() for spec in overlap.split(",")], as_json)
        return
    ledger, sets = _ledger(run), _chain_sets(run)
    stages = run.stages()
    for name, state in stages.items():
        state["state"] = display_state(run, name)
        state.get("result", {}).pop("problem_ids", None)
    effects = measured_effects(run)
    if as_json:
        print_json({"run": run.name, "ledger": ledger, "chains": sets, "stages": stages, "negatives": effects})
        return
    _print(ledger, sets, stages)
    for row in effects:
        out().print(f"effect of negatives on {row['model']} ({row['on']}): {row['summary']}", markup=False)


def _ledger(run: Run) -> list[dict[str, object]]:
    """Count samples by teacher, subject and verdict, and the right ones with a wrong step."""
    from nsad_cli.grading.grade import count_verdicts
    from nsad_cli.store.rationales import Store

    if not run.store_path.is_file():
        return []
    params = run.stages().get("collect", {}).get("result", {}).get("params")
    with Store(run.store_path) as store:
        rows: list[dict[str, object]] = count_verdicts(store, params).as_dict()["rows"]
        return rows


def _chain_sets(run: Run) -> list[dict[str, Any]]:
    """Count chains by model, weights and sampling settings, in the order of their latest chains."""
    from nsad_cli.store.chains import ChainStore

    if not run.chains_path.is_file():
        return []
    with ChainStore(run.chains_path) as chains:
        fields = ("model", "model_key", "sampling", "problems", "chains")
        rows: list[dict[str, Any]] = [dict(zip(fields, row, strict=True)) for row in chains.sets()]
        for row in rows:
            key = {name: row[name] for name in ("model", "model_key", "sampling")}
            row["greedy"] = chains.has_greedy_chains(**key)
        return rows


def _print(
    ledger: Sequence[dict[str, object]], sets: Sequence[dict[str, Any]], stages: Mapping[str, Mapping[str, Any]]
) -> None:
    from nsad_cli.cli.render.tables import ledger_table, new_table

    console = out()
    if ledger:
        console.print(ledger_table(ledger))
    table = new_table("Stages", "stage", "state", "examples", "tokens", "held-out loss", "seconds", left=2)
    for name, state in stages.items():
        result = state.get("result", {})
        held = result.get("held_out_loss")
        spent = state.get("seconds") if "ended" in state else None
        table.add_row(
            name,
            state["state"],
            str(result.get("examples", "–")),
            str(result.get("tokens", "–")),
            "–" if held is None else f"{held:.4f}",
            "–" if spent is None else f"{spent:.0f}",
        )
    if stages:
        console.print(table)
    table = new_table("Chains", "model", "decoding", "problems", "chains", left=2)
    newest = {row["model"]: row["model_key"] for row in sets}
    for row in sets:
        earlier = "" if row["model_key"] == newest[row["model"]] else " (of an earlier training)"
        decoding = "greedy" if row["greedy"] else "sampled"
        table.add_row(f"{row['model']}{earlier}", decoding, str(row["problems"]), str(row["chains"]))
    if sets:
        console.print(table)
    if not (ledger or stages or sets):
        note("the run is empty: no stage has started")
