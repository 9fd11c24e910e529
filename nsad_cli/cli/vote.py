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
    samples: Annotated[
        int | None, typer.Option("--samples", min=1, help="The first N chains of each problem alone.")
    ] = None,
    stop_at: Annotated[
        float | None,
        typer.Option("--stop-at", min=0.5, max=1.0, help="Stop where the leader stays it by this probability."),
    ] = None,
    wave: Annotated[int, typer.Option("--wave", min=1, help="With --stop-at: chains drawn at once.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Count votes over recorded chains and compare the winners with the gold answers."""
    from nsad_cli.answers.checker import Checker
    from nsad_cli.cli.solve import check_rule
    from nsad_cli.evaluation.statistics import wilson
    from nsad_cli.files import first_few
    from nsad_cli.stopping import need_stoppable
    from nsad_cli.votefile import need_some, read_vote_file, stopped_early, vote_results

    check_rule(rule, "any")
    if stop_at is not None:
        need_stoppable(rule)
    problems = [(problem, chains[:samples]) for problem, chains in read_vote_file(file, first_few(say))]
    need_some(problems, file)
    with Checker() as checker:
        results = vote_results(problems, rule, checker, say)
    early = {} if stop_at is None else stopped_early(results, stop_at, wave, rule)
    right, n = sum(item[2] for item in results), len(results)
    right_early = int(early.pop("right", 0))
    if as_json:
        stopped = {"accuracy_stopped": right_early / n, **early} if early else {}
        print_json({"rule": rule, "n": n, "accuracy": right / n, **stopped})
        return
    counts = [(rule, right)]
    counts += [(f"{rule}, stopped at {stop_at}", right_early)] if early else []
    for name, number in counts:
        low, high = wilson(number, n)
        out().print(f"{name}: {number} of {n} right, {number / n:.1%} (95 % interval {low:.1%} – {high:.1%})")
    if early:
        out().print(f"  from {early['chains']:.1%} of the chains; {early['same']:.1%} of the answers are those of all")
