"""`nsad doctor`: is everything here that the program needs?"""

from __future__ import annotations

import typer

from nsad_cli.cli.options import AsJson
from nsad_cli.cli.output import out, print_json


def doctor(as_json: AsJson = False) -> None:
    """Check libraries, device, student, disk, keys and Hub; exits 1 where something needed is missing."""
    from rich.markup import escape

    from nsad_cli.doctor import check_all

    checks = check_all()
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
    else:
        marks = {"ok": "[green]✓ ok     ", "absent": "[yellow]– absent ", "missing": "[red]✗ missing"}
        console = out()
        for check in checks:
            hint = f"  [dim]→ {escape(check.fix)}" if check.fix and check.state != "ok" else ""
            console.print(f"{marks[check.state]}[/] {check.name:<14} {escape(check.detail)}{hint}")
    if failed:
        raise typer.Exit(1)
