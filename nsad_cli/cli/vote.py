"""`nsad vote`: votes over chains in a file; no model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsad_cli.cli.options import AsJson
from nsad_cli.cli.output import out, print_json, say


def vote(
    file: Annotated[Path, typer.Argument(help="JSON lines of problems with their chains.")],
    rule: Annotated[str, typer.Option("--rule", help="sc, wsc, asc, asc-add, best, or any (an upper bound).")] = "sc",
    as_json: AsJson = False,
) -> None:
    """Count votes over recorded chains and compare the winners with the gold answers."""
    from nsad_cli.answers.checker import Checker
    from nsad_cli.errors import UsageError
    from nsad_cli.evaluation.statistics import wilson
    from nsad_cli.votefile import need_some, read_vote_file, vote_results
    from nsad_cli.voting import RULES

    if rule not in (*RULES, "any"):
        raise UsageError(f"unknown rule `{rule}`", "votes are counted by another", f"rules: {', '.join(RULES)}, any")
    problems = list(read_vote_file(file, say))
    need_some(problems, file)
    with Checker() as checker:
        results = vote_results(problems, rule, checker)
    right, n = sum(item[2] for item in results), len(results)
    if as_json:
        print_json({"rule": rule, "n": n, "accuracy": right / n})
        return
    low, high = wilson(right, n)
    out().print(f"{rule}: {right} of {n} right, {right / n:.1%} (95 % interval {low:.1%} – {high:.1%})")
