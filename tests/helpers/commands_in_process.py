"""Several commands in one process, which is to be a process of its own."""

from __future__ import annotations

import contextlib
import io
import json
import sys

from nsad_cli.cli.main import main

HEAVY = ("torch", "transformers", "pyarrow", "datasets", "math_verify")


def run_all(commands: list[str]) -> None:
    """Run commands in this process; print the exit code and stderr of each, and the heavy modules imported by then."""
    results = []
    for command in commands:
        errors, sys.argv = io.StringIO(), ["nsad", *command.split()]
        with contextlib.redirect_stderr(errors):
            try:
                main()
            except SystemExit as end:
                results.append([end.code, errors.getvalue()])
    print(json.dumps([results, [name for name in HEAVY if name in sys.modules]]))
