"""`nsad vote`: votes over chains in a file; no model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsad_cli.cli.options import RULES_TOLD, AsJson, StopAt
from nsad_cli.cli.output import out, print_json, say

FORMATS = (
    '{"id", "gold", "chains": [{"text", "answer"?, "weight"?, "logprob"?}]}, where an answer that is not given is read'
    ' from the text; or {"question", "answer", "generated_answer": ["…", …]}; or Qwen2.5-Math\'s {"question", "gt",'
    ' "pred", "pred_score", "code"?, "score"?}'
)


def vote(
    file: Annotated[Path, typer.Argument(help=f"JSON lines, a problem each: {FORMATS}.")],
    rule: Annotated[
        str, typer.Option("--rule", help=f"{RULES_TOLD} any: right where some chain is, a bound on all rules.")
    ] = "sc",
    samples: Annotated[
        int | None, typer.Option("--samples", min=1, help="The first N chains of each problem alone.")
    ] = None,
    stop_at: StopAt = None,
    wave: Annotated[int, typer.Option("--wave", min=1, help="With --stop-at: chains drawn at once.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Count votes over recorded chains and compare the winners with the gold answers."""
    from nsad_cli.answers.checker import Checker
    from nsad_cli.cli.solve import check_rule
    from nsad_cli.evaluation.statistics import wilson
    from nsad_cli.stopping import need_stoppable
    from nsad_cli.votefile import need_some, read_vote_file, stopped_early, vote_results

    check_rule(rule, "any")
    if stop_at is not None:
        need_stoppable(rule)
    problems = [(problem, chains[:samples]) for problem, chains in read_vote_file(file, say)]
    need_some(problems, file)
    with Checker() as checker:
        results = vote_results(problems, rule, checker)
    early = {} if stop_at is None else stopped_early(results, stop_at, wave, rule)
    right, n = int(early.pop("right", sum(item[2] for item in results))), len(results)
    if as_json:
        print_json({"rule": rule, "n": n, "accuracy": right / n, **early})
        return
    low, high = wilson(right, n)
    out().print(f"{rule}: {right} of {n} right, {right / n:.1%} (95 % interval {low:.1%} – {high:.1%})")
    if early:
        out().print(f"stopped at {stop_at}: {early['chains']:.1%} of the chains, {early['same']:.1%} the same answers")
