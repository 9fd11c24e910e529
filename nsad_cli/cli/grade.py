"""`nsad grade`: a verdict for every rationale, and the ledger."""

from __future__ import annotations

from nsad_cli.cli.options import AsJson, Force, RunName
from nsad_cli.cli.output import out, print_json, say


def grade(run_name: RunName = None, force: Force = False, as_json: AsJson = False) -> None:
    """Sort rationales into right (D+), wrong (D−) and neither; the teacher is never asked again."""
    from nsad_cli.cli.tables import ledger_table
    from nsad_cli.cli.target import execute, existing_run

    run = existing_run(run_name)
    ledger = execute(run, ["grade"], force=force)["grade"]["ledger"]
    if as_json:
        print_json({"run": run.name, **ledger})
        return
    out().print(ledger_table(ledger["rows"]))
    say(f"next: nsad train-nat --run {run.name}")
