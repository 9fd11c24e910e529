"""`nsad vote`: votes over chains in a file, or over a run's own; no model is loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsad_cli.cli import completions
from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import RULES_HELP, AsJson, StopAt, one_of

if TYPE_CHECKING:
    from nsad_cli.types import Chain, Problem

FORMATS = (
    '{"id", "gold", "chains": [{"text", "answer"?, "weight"?, "logprob"?}]}, a missing answer is read'
    ' from the text; or {"question", "answer", "generated_answer": ["…", …]}; or Qwen2.5-Math\'s {"question", "gt",'
    ' "pred", "pred_score", "code"?, "score"?}'
)


def vote(
    file: Annotated[
        Path | None,
        typer.Argument(help=f"JSON lines, one problem per line: {FORMATS}. Or give --run.", show_default=False),
    ] = None,
    run_name: Annotated[
        str | None,
        typer.Option("--run", help="Use a run's own chains; lists its problems.", autocompletion=completions.run_names),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option("--explain", metavar="ID", help="With --run: explain the votes of one problem, by id or number."),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            "--rule",
            autocompletion=completions.rules,
            help=f"{RULES_HELP} any: right if any chain is, an upper bound. With a FILE, default: every rule"
            " that its chains allow; with --run the run's (asc).",
        ),
    ] = None,
    samples: Annotated[
        int | None, typer.Option("--samples", "-n", min=1, help="Use only the first N chains of each problem.")
    ] = None,
    ranker: Annotated[
        str | None,
        typer.Option(
            "--ranker",
            callback=one_of("--ranker", lambda: ("steps",)),
            help="With a FILE: score its chains anew. steps: by their checked arithmetic, without a model.",
        ),
    ] = None,
    stop_at: StopAt = None,
    wave: Annotated[int, typer.Option("--wave", min=1, help="With --stop-at: chains sampled at once.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Count votes over recorded chains; with --run list a run's problems by their votes, or explain one."""
    from nsad_cli.cli.solve import check_rule
    from nsad_cli.errors import UsageError

    if (file is None) == (run_name is None and explain is None):
        raise UsageError(
            "vote needs a FILE or --run" if file is None else "vote takes a FILE or a run, not both",
            "it counts votes over the chains of a file or of a run",
            "`nsad vote chains.jsonl`, `nsad vote --run NAME`, or `nsad vote --run NAME --explain ID`",
        )
    if file is not None:
        check_rule(rule, "any")
        if rule is None and stop_at is None:
            _count_by_rules(file, samples, ranker, as_json)
        else:
            _count(file, rule or ("asc" if ranker else "sc"), samples, ranker, stop_at, wave, as_json)
        return
    if ranker is not None:
        raise UsageError("--ranker needs a FILE", "a run's chains are scored by its own ranker", "omit it")
    if rule is not None:
        check_rule(rule)
    if stop_at is not None:
        raise UsageError(
            "--stop-at does not go with --run", "its chains are sampled already", "give a FILE, or omit it"
        )
    if explain is not None:
        from nsad_cli.cli.vote_explain import explain_problem

        explain_problem(run_name or os.environ.get("NSAD_RUN"), explain, rule, samples, as_json)
        return
    if samples is not None:
        raise UsageError("--samples needs a FILE or --explain", "a run is listed by all its chains", "add --explain ID")
    from nsad_cli.cli.vote_list import list_problems

    list_problems(run_name, rule, as_json)


def _count(
    file: Path, rule: str, samples: int | None, ranker: str | None, stop_at: float | None, wave: int, as_json: bool
) -> None:
    """Count votes by one rule over a file's chains and compare the winners with the gold answers."""
    from nsad_cli.grading.checker import Checker
    from nsad_cli.inference.vote_file import stopped_early, vote_results
    from nsad_cli.utils.statistics import wilson
    from nsad_cli.voting.early_stopping import require_stoppable

    if stop_at is not None:
        require_stoppable(rule)
    with Checker() as checker:
        results = vote_results(_problems(file, samples, ranker), rule, checker, need_scores=ranker is None)
    early = {} if stop_at is None else stopped_early(results, stop_at, wave, rule)
    right, n = sum(item[2] for item in results), len(results)
    right_early = int(early.pop("right", 0))
    if as_json:
        stopped = {"accuracy_stopped": right_early / n, **early} if early else {}
        print_json({"rule": rule, "n": n, "accuracy": right / n, "ci95": wilson(right, n), **stopped})
        return
    counts = [(rule, right)]
    counts += [(f"{rule}, stopped at {stop_at}", right_early)] if early else []
    for name, number in counts:
        low, high = wilson(number, n)
        out().print(f"{name}: {number} of {n} right, {number / n:.1%} (95 % interval {low:.1%} – {high:.1%})")
    if early:
        out().print(f"  from {early['chains']:.1%} of the chains; {early['same']:.1%} of the answers are those of all")


def _count_by_rules(file: Path, samples: int | None, ranker: str | None, as_json: bool) -> None:
    """Count votes by every rule that a file's chains allow, and compare each with counting."""
    from nsad_cli.cli.render.votes import rules_table
    from nsad_cli.grading.checker import Checker
    from nsad_cli.inference.vote_file import results_by_rule
    from nsad_cli.utils.statistics import mcnemar, newcombe, wilson

    with Checker() as checker:
        found = results_by_rule(_problems(file, samples, ranker), checker)
    counted = [item[2] for item in found["sc"]]
    rows: list[dict[str, Any]] = []
    for rule, results in found.items():
        right = [item[2] for item in results]
        both = list(zip(right, counted, strict=True))
        won, lost = sum(a and not b for a, b in both), sum(b and not a for a, b in both)
        row = {
            "rule": rule,
            "n": len(right),
            "accuracy": sum(right) / len(right),
            "ci95": wilson(sum(right), len(right)),
        }
        if rule != "sc":
            row |= {"difference": (won - lost) / len(right), "difference_ci95": newcombe(counted, right)}
            row |= {"won": won, "lost": lost, "p": mcnemar(won, lost)}
        rows.append(row)
    if as_json:
        shown = next((row for row in rows if ranker and row["rule"] == "asc"), rows[0])
        print_json({**{key: shown[key] for key in ("rule", "n", "accuracy", "ci95")}, "rules": rows})
    else:
        out().print(rules_table(f"Votes over {file.name}: {len(counted)} problems", rows))


def _problems(file: Path, samples: int | None, ranker: str | None) -> list[tuple[Problem, list[Chain]]]:
    from nsad_cli.inference.vote_file import read_vote_file, require_results, scored_by_steps

    problems = [(problem, chains[:samples]) for problem, chains in read_vote_file(file)]
    require_results(problems, file)
    return scored_by_steps(problems) if ranker else problems
