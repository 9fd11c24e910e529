"""`nsad doctor`: check that everything the program needs is installed and usable."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import AsJson

if TYPE_CHECKING:
    from rich.console import Console

    from nsad_cli.cli.doctor_checks import Check

MARKS = {"ok": "[green]✓ ok     ", "absent": "[yellow]– absent ", "missing": "[red]✗ missing"}


def doctor(as_json: AsJson = False) -> None:
    """Check libraries, device, student, disk, keys and Hub; exit 1 if something required is missing."""
    from nsad_cli.cli.doctor_checks import check_all

    checks = []
    console = out()
    for check in check_all():
        checks.append(check)
        if not as_json:
            _print(console, check)
    failed = any(check.state == "missing" for check in checks)
    if as_json:
        print_json(
            {
                "ok": not failed,
                "checks": [
                    {"name": check.name, "state": check.state, "detail": check.detail, "fix": check.fix}
                    for check in checks
                ],
            }
        )
    if failed:
        raise typer.Exit(1)


def _print(console: Console, check: Check) -> None:
    from rich.markup import escape

    hint = f"  [dim]→ {escape(check.fix)}" if check.fix and check.state != "ok" else ""
    console.print(f"{MARKS[check.state]}[/] {check.name:<14} {escape(check.detail)}{hint}")
    sys.stdout.flush()
