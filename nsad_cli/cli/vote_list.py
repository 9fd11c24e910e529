"""`nsad vote --run R`: list a run's problems by the outcome of their votes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.vote_explain import head, open_chains, require_chain_set
from nsad_cli.runs.run import Run
from nsad_cli.types import Problem
from nsad_cli.voting.bar_chart import one_line, verdict_mark
from nsad_cli.voting.chain_sets import chain_sets, iter_results
from nsad_cli.voting.problem_filters import DEFAULT_RULES, PROBLEM_FILTERS, ProblemResult, Winner, matching_problems

MAX_LISTED = 10
"""The maximum number of problems listed for each filter."""


def list_problems(run_name: str | None, rule: str | None, as_json: bool) -> None:
    """Print each rule's accuracy and the problems that match each filter; raise NsadError if they cannot be read."""
    run = Run.open(run_name)
    with open_chains(run) as store:
        chosen = require_chain_set(run, chain_sets(store))
        problems = store.problems(**chosen.key)
        rule = rule or ("asc" if chosen.ranker else "sc")
        rules = list(dict.fromkeys((*DEFAULT_RULES, rule)))
        found: dict[str, ProblemResult] = {}
        for part in iter_results(store, chosen, chosen.ranker, rules):
            found.update(part)
    # Chains written in the meantime may be in one of the two reads only.
    problems = [problem for problem in problems if problem.id in found]
    outcomes = [found[problem.id] for problem in problems]
    queues = {
        queue.name: [item.problem_id for item in matching_problems(queue, outcomes, rule)] for queue in PROBLEM_FILTERS
    }
    if as_json:
        value = {"run": run.name, "model": chosen.model, "ranker": chosen.ranker, "rule": rule, "queues": queues}
        print_json({**value, "problems": [_json(problem, found[problem.id]) for problem in problems]})
        return
    _print(one_line(head(run, chosen)), run.name, problems, found, queues, rules, rule)


def _print(
    title: str,
    run: str,
    problems: Sequence[Problem],
    found: dict[str, ProblemResult],
    queues: dict[str, list[str]],
    rules: Sequence[str],
    rule: str,
) -> None:
    from nsad_cli.cli.render.tables import new_table
    from nsad_cli.cli.render.votes import shown

    console = out()
    console.print(title, style="dim", markup=False)
    for name in rules:
        console.print(_score(name, [won for item in found.values() if (won := item.winners.get(name))]))
    places = {problem.id: (place, problem) for place, problem in enumerate(problems, 1)}
    for queue in PROBLEM_FILTERS[1:]:
        ids = queues[queue.name]
        if not ids:
            console.print(f"\n[bold]{queue.name}[/]: {queue.what}: none")
            continue
        table = new_table(f"{queue.name}: {queue.what}: {len(ids)}", "#", "problem", "gold", *rules, "margin", left=9)
        table.columns[1].no_wrap, table.columns[1].ratio, table.columns[1].overflow = True, 1, "ellipsis"
        table.expand = True
        for key in ids[:MAX_LISTED]:
            place, problem = places[key]
            won = found[key].winner_by(rule)
            margin = "–" if won is None or won.margin is None else f"{won.margin:.0%}"
            cells = [_winner(found[key].winners.get(name)) for name in rules]
            table.add_row(
                str(place), shown(one_line(problem.question)), shown(problem.answer), *map(shown, cells), margin
            )
        table.caption = f"and {len(ids) - MAX_LISTED} more (--json has all)" if len(ids) > MAX_LISTED else None
        console.print()
        console.print(table)
    console.print(f"\n[dim]margins by {rule}; explain one: nsad vote --run {run} --explain #[/]")


def _score(rule: str, won: Sequence[Winner]) -> str:
    if not won:
        return f"{rule:>7}: not applicable"
    known = [item.right for item in won if item.right is not None]
    right = f"{sum(known)} of {len(known)} right, {sum(known) / len(known):.1%}" if known else "no gold answers"
    return f"{rule:>7}: {right}" + (f"; {len(won) - len(known)} without a gold answer" if len(won) > len(known) else "")


def _winner(won: Winner | None) -> str:
    return "–" if won is None else f"{verdict_mark(won.right)} {'none' if won.answer is None else one_line(won.answer)}"


def _json(problem: Problem, found: ProblemResult) -> dict[str, Any]:
    won = {
        name: {"answer": item.answer, "right": item.right, "margin": item.margin}
        for name, item in found.winners.items()
    }
    return {"id": problem.id, "gold": problem.answer or None, "chains": found.chains, "rules": won}
