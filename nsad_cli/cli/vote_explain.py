"""`nsad vote --run R --explain ID`: explain the votes on one problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nsad_cli import api
from nsad_cli.cli.console import out, print_json
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.grading.marked_steps import checked_steps, steps_json, steps_line
from nsad_cli.types import Chain, Problem
from nsad_cli.utils.terminal_text import WRONG
from nsad_cli.voting.bar_chart import Line, chart_lines, one_line, visible_rules
from nsad_cli.voting.chain_sets import ChainSet, chain_sets, default_set, find_problem, open_store
from nsad_cli.voting.counterfactuals import WhatIf, remaining_chains
from nsad_cli.voting.rule_results import RuleResult, rule_results

if TYPE_CHECKING:
    from rich.text import Text

    from nsad_cli.runs.run import Run
    from nsad_cli.store.chains import ChainStore

Found = Mapping[str, RuleResult | UsageError]
STYLES = {"head": "bold", "winner": "bold green", "right": "green", "wrong": "red", "changed": "yellow", "dim": "dim"}
MAX_ANSWERS = 12
"""The maximum number of answers in the chart."""


def explain_problem(run_name: str | None, wanted: str, rule: str | None, samples: int | None, as_json: bool) -> None:
    """Print a problem's chains, bars by rule, margins, and the chains that decide each result.

    Raises:
        UsageError: The run has no such problem, or several.
        NsadError: The run's chains cannot be read.
    """
    from nsad_cli.runs.run import Run

    run = Run.open(run_name)
    with open_chains(run) as store:
        sets = chain_sets(store)
        chosen, problems, problem = _find(run, store, sets, wanted)
        chains = remaining_chains(store.get(problem.id, ranker=chosen.ranker, **chosen.key), WhatIf(first=samples))
        others = {name: store.get(problem.id, ranker=name, **chosen.key) for name in chosen.rankers[:-1]}
    rule = rule or ("asc" if any(chain.weight is not None for chain in chains) else "sc")
    explanation = api.explain_vote(chains)
    found: Found = {**explanation.results, **explanation.unavailable}
    by_others = {
        name: found_
        for name, own in others.items()
        if isinstance(found_ := rule_results(remaining_chains(own, WhatIf(first=samples)), ["asc"])["asc"], RuleResult)
    }
    if as_json:
        print_json(_json(run, chosen, problem, chains, found, by_others))
        return
    place = problems.index(problem) + 1
    _print(run, chosen, problem, f"problem {place} of {len(problems)}", chains, found, by_others, rule)


def open_chains(run: Run) -> ChainStore:
    """Open a run's chains for reading; raise NsadError if there are none or they cannot be read."""
    from nsad_cli.grading.stored_classes import refresh_classes

    if not run.chains_path.is_file():
        raise NsadError(
            f"run `{run.name}` has no chains yet",
            f"{run.chains_path} does not exist",
            f"sample some with `nsad eval --run {run.name}` or `nsad solve --run {run.name} …`",
        )
    refresh_classes(run.chains_path)
    return open_store(run.chains_path)


def require_chain_set(run: Run, sets: Sequence[ChainSet]) -> ChainSet:
    """Return the default set of chains; raise NsadError if there is none."""
    chosen = default_set(sets)
    if chosen is None:
        raise NsadError(
            f"run `{run.name}` has no chains yet",
            f"{run.chains_path} is empty",
            f"sample some with `nsad eval --run {run.name}` or `nsad solve --run {run.name} …`",
        )
    return chosen


def _find(
    run: Run, store: ChainStore, sets: Sequence[ChainSet], wanted: str
) -> tuple[ChainSet, list[Problem], Problem]:
    """Find a problem by id or number in the default set of chains, or else in the latest set that has it."""
    first = require_chain_set(run, sets)
    for chosen in [first, *(item for item in reversed(sets) if item != first)]:
        problems = store.problems(**chosen.key)
        found = find_problem(problems, wanted)
        if len(found) > 1:
            some = ", ".join(problem.id for problem in found[:4])
            raise UsageError(
                f"`{wanted}` is ambiguous", f"{len(found)} ids start with it: {some} …", "give more of the id"
            )
        if found:
            return chosen, problems, found[0]
    raise UsageError(
        f"no problem `{wanted}` in run `{run.name}`",
        "no id starts with it, and it is not a number in the list (1 is the first, -1 the last)",
        f"list them with `nsad vote --run {run.name}`",
    )


def head(run: Run, chosen: ChainSet) -> str:
    """Describe the run, the set of chains and the ranker in one line."""
    scored = f"ranker {chosen.ranker}" if chosen.ranker else "no ranker scores"
    return f"run {run.name} · {chosen.title} · {scored}"


def coloured(lines: Sequence[Line]) -> list[Text]:
    """Convert styled lines to rich's Text."""
    from rich.text import Text

    return [Text.assemble(*((text, STYLES.get(meaning, "")) for text, meaning in line), no_wrap=True) for line in lines]


def _print(
    run: Run,
    chosen: ChainSet,
    problem: Problem,
    place: str,
    chains: Sequence[Chain],
    found: Found,
    by_others: Mapping[str, RuleResult],
    rule: str,
) -> None:
    from nsad_cli.cli.render.votes import chains_table, shown

    console = out()
    where = " · ".join(filter(None, [problem.benchmark, problem.subject, problem.level]))
    console.print(one_line(head(run, chosen)), style="dim", markup=False)
    console.print(f"[bold]{place}[/]: {problem.id} [dim]{shown(where)}[/]")
    console.print(shown(problem.question.strip()))
    console.print(f"gold answer: [bold]{shown(problem.answer)}[/]" if problem.answer else "[dim]no gold answer[/]")
    console.print()
    leading = found[rule] if isinstance(found[rule], RuleResult) else found["sc"]
    assert isinstance(leading, RuleResult)
    console.print(chains_table(chains, leading.ballot, judged=True))
    checked = "; steps: the right ones of those checked" if any(map(_has_checked_steps, chains)) else ""
    console.print(f"[dim]weight by {leading.rule}; ▸ voted for the winner{checked}[/]")
    for about in _wrong_steps(chains):
        console.print(about, style="red", markup=False, highlight=False)
    console.print()
    width = min(console.width, 110)
    lines = chart_lines(visible_rules(found, width, leading.rule), width, first=leading.rule, most=MAX_ANSWERS)
    for line in coloured(lines):
        console.print(line)
    console.print()
    for name, item in found.items():
        if isinstance(item, RuleResult):
            console.print(f"[bold]{name:>7}[/]  {shown(in_words(item))}")
    for name, item in by_others.items():
        console.print(f"    asc by {shown(name)}: {shown(in_words(item))}")
    console.print(f"\n[dim]explore it: nsad dashboard --view votes --run {run.name}[/]")


def _has_checked_steps(chain: Chain) -> bool:
    return checked_steps(chain.text).checked > 0


def _wrong_steps(chains: Sequence[Chain]) -> list[str]:
    """Describe the first wrong step of each chain that has one."""
    return [
        f"{WRONG} chain {chain.index}: {steps_line(chain.text)}"
        for chain in chains
        if checked_steps(chain.text).first_wrong
    ]


def in_words(item: RuleResult) -> str:
    """Describe a vote's winner, its margin, and the chains whose removal would change the winner."""
    if item.winner is None:
        return "no chain has an answer"
    judged = {True: " ✓", False: " ✗", None: ""}[item.right]
    text = f"{one_line(item.ballot.answer or '')}{judged}, margin {item.margin:.0%}"
    if isinstance(item.flip, str):
        return f"{text}; {item.flip}"
    removed = ", ".join(map(str, item.flip))
    return f"{text}; without chain{'s' if len(item.flip) > 1 else ''} {removed} another answer wins"


def _json(
    run: Run,
    chosen: ChainSet,
    problem: Problem,
    chains: Sequence[Chain],
    found: Found,
    by_others: Mapping[str, RuleResult],
) -> dict[str, Any]:
    return {
        "run": run.name,
        "model": chosen.model,
        "ranker": chosen.ranker,
        "id": problem.id,
        "question": problem.question,
        "gold": problem.answer or None,
        "chains": [
            {
                "index": chain.index,
                "text": chain.text,
                "answer": chain.answer,
                "class": chain.answer_class,
                "correct": chain.correct,
                "weight": chain.weight,
                "logprob": chain.logprob,
                "tokens": len(chain.logprobs),
                "steps": steps_json(chain.text),
            }
            for chain in chains
        ],
        "rules": {name: rule_result_json(item) for name, item in found.items()},
        "other_rankers": {name: rule_result_json(item) for name, item in by_others.items()},
    }


def rule_result_json(item: RuleResult | UsageError) -> dict[str, Any]:
    """Convert a rule's result to a JSON object; a rule that could not be applied becomes {"unavailable": why}."""
    if isinstance(item, UsageError):
        return {"unavailable": f"{item.what}: {item.why}"}
    flips = item.flip if not isinstance(item.flip, str) else None
    return {
        "answer": item.ballot.answer,
        "class": item.winner,
        "right": item.right,
        "margin": item.margin,
        "flipped_without": None if flips is None else list(flips),
        "why_not_flipped": item.flip if isinstance(item.flip, str) else None,
        "turned_by": item.votes_to_overturn,
        "votes": [
            {"answer": vote.answer, "class": name, "count": vote.count, "weight": vote.weight, "share": share,
             "chains": list(vote.chains)}
            for vote, name, share in zip(item.ballot.votes, item.classes, item.shares, strict=True)
        ],
    }  # fmt: skip
