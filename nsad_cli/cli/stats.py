"""`nsad stats`: what a run holds."""

from __future__ import annotations

from typing import Annotated

import typer

from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import AsJson, RunName


def stats(
    overlap: Annotated[
        str | None,
        typer.Option(
            "--overlap",
            metavar="SPEC,…",
            help="Find training problems that these benchmarks (NAME[:SPLIT][@PATH]) have too, or nearly.",
        ),
    ] = None,
    run_name: RunName = None,
    as_json: AsJson = False,
) -> None:
    """Count a run's rationales by verdict and subject, its chains, and its trained stages; or find its leaks."""
    from nsad_cli.cli.render.overlap import show_overlap
    from nsad_cli.cli.render.tables import ledger_table, new_table
    from nsad_cli.cli.run_selection import existing_run
    from nsad_cli.store.chains import ChainStore
    from nsad_cli.store.rationales import Store

    run = existing_run(run_name)
    if overlap is not None:
        show_overlap(run, [spec.strip() for spec in overlap.split(",")], as_json)
        return
    ledger: list[dict[str, object]] = []
    if run.store_path.is_file():
        with Store(run.store_path) as store:
            names = ("teacher", "subject", "verdict", "draws")
            ledger = [
                dict(zip(names, row, strict=True))
                for row in store.verdicts.counts(run.stages().get("collect", {}).get("result", {}).get("params"))
            ]
    sets: list[dict[str, object]] = []
    if run.chains_path.is_file():
        with ChainStore(run.chains_path) as chains:
            fields = ("model", "model_key", "sampling", "problems", "chains")
            sets = [dict(zip(fields, row, strict=True)) for row in chains.sets()]
    stages = run.stages()
    for name, state in stages.items():
        state["state"] = run.display_state(name)
        state.get("result", {}).pop("problem_ids", None)
    if as_json:
        print_json({"run": run.name, "ledger": ledger, "chains": sets, "stages": stages})
        return
    console = out()
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
    console.print(table)
    table = new_table("Chains", "model", "training", "sampling", "problems", "chains", left=3)
    for row in sets:
        table.add_row(*(str(value) for value in row.values()))
    console.print(table)
