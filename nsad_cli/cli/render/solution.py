"""A solution for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nsad_cli.cli.console import out
from nsad_cli.types import Chain, Finish
from nsad_cli.utils.logs import shows_notes
from nsad_cli.utils.terminal_text import render_latex
from nsad_cli.voting.chain_steps import chain_steps

if TYPE_CHECKING:
    from rich.console import Console

    from nsad_cli.inference.solver import Solution, VoteSettings


def print_solution(
    solution: Solution, ask: VoteSettings, *, verbose: bool = False, console: Console | None = None
) -> None:
    """Print chains with weights, votes as bars, the answer and its share; with --quiet the answer alone."""
    from nsad_cli.cli.render.votes import ballot_table, chains_table

    console = console or out()
    if not shows_notes():
        answer = solution.ballot.answer
        console.print("" if answer is None else render_latex(answer), markup=False)
        return
    if verbose:
        for chain in solution.chains:
            _print_steps(console, chain)
    console.print(chains_table(solution.chains, solution.ballot))
    if solution.ballot.votes:
        console.print(ballot_table(solution.ballot, solution.chains, solution.problem.answer))
    for line in conclusion(solution, ask):
        console.print(line)


def conclusion(solution: Solution, ask: VoteSettings) -> list[str]:
    """The answer, how near the vote was, and what stopping early made of it; a line each, in rich's markup."""
    from nsad_cli.cli.render.votes import shown

    ballot, chains = solution.ballot, solution.chains
    if ballot.answer is None:
        lines = [f"[bold yellow]no answer[/]: none of {len(chains)} chains states one (--verbose prints them)"]
    else:
        lines = [f"[bold]answer: [green]{shown(ballot.answer)}[/][/]", *(f"  {line}" for line in _margin(solution))]
        silent = sum(chain.answer is None for chain in chains)
        lines += [f"  {silent} of {len(chains)} chains state no answer"] if silent else []
    if cut := sum(chain.finish is Finish.LENGTH for chain in chains):
        lines.append(
            f"  {cut} of {len(chains)} chains were cut off at the limit of tokens: sampling.max_new_tokens in"
            " the run's recipe.yaml raises it"
        )
    if solution.sure is not None and ask.stop_at is not None:
        asked = "" if solution.sure >= ask.stop_at else f", not {ask.stop_at:.0%}"
        lines.append(
            f"  {len(chains)} of {ask.samples} chains drawn: {solution.sure:.1%} sure that it stays ahead{asked}"
        )
    return lines


def _margin(solution: Solution) -> list[str]:
    """How near the vote was to going the other way."""
    from nsad_cli.cli.render.votes import shown
    from nsad_cli.voting.rules import chains_to_overturn, ranking_weights

    ballot, chains = solution.ballot, solution.chains
    if len(ballot.votes) == 1:
        return ["no chain states another answer"]
    first, second = ballot.votes[:2]
    other, total = shown(second.answer), sum(max(vote.weight, 0.0) for vote in ballot.votes) or 1.0
    if ballot.rule == "best":
        best, rival = ranking_weights(chains, ballot)[:2]
        return [f"its best chain scores {best:.3f}, the best that says {other} {rival:.3f}"]
    what = "chains that answer" if ballot.rule == "sc" else "weight"
    share = f"{ballot.share:.0%} of the {what}; {other} has {max(second.weight, 0.0) / total:.0%}"
    if ballot.rule != "sc" and first.weight == second.weight == 0:
        return [share, "none of their chains weighs anything: it has more of them, the heaviest, or the first"]
    if first.weight == second.weight:
        return [
            share,
            "a tie: it was said first" if ballot.rule == "sc" else "a tie: it has the heaviest chain, or the first",
        ]
    if first.count == 1:
        return [share, "it rests on one chain"]
    count = chains_to_overturn(chains, ballot)
    return [share, f"had {count} of its {first.count} chains said {other}, that had won"]


def _print_steps(console: Console, chain: Chain) -> None:
    """A chain in full, a step a line, each with the mean probability of its tokens."""
    from rich.table import Table

    from nsad_cli.cli.render.votes import shown

    console.rule(f"chain {chain.index}", align="left", style="dim")
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(justify="right", style="dim", width=3)
    grid.add_column(style="dim", width=4)
    grid.add_column(overflow="fold")
    for number, (text, likely) in enumerate(steps(chain), 1):
        grid.add_row(str(number), "" if likely is None else f"{likely:.2f}", shown(text))
    console.print(grid)
    console.print()


def steps(chain: Chain) -> list[tuple[str, float | None]]:
    """A chain's steps, its lines or else its sentences, each with its tokens' geometric mean probability."""
    return [(chain.text[step.start : step.end].strip(), step.probability) for step in chain_steps(chain)]


def solution_json(solution: Solution, ask: VoteSettings | None = None) -> dict[str, Any]:
    """The object of `nsad solve --json`: share is of the weight, logprob the mean per token, finish as the API says it.

    Where it was asked to stop early, `stopped` says how many chains were drawn and how sure that made the leader.
    """
    ballot = solution.ballot
    value: dict[str, Any] = {
        "answer": ballot.answer,
        "rule": ballot.rule,
        "share": ballot.share,
        "votes": [
            {"answer": vote.answer, "count": vote.count, "weight": vote.weight, "chains": list(vote.chains)}
            for vote in ballot.votes
        ],
        "chains": _chains(solution.chains),
    }
    if ask is not None and ask.stop_at is not None:
        value["stopped"] = {
            "at": ask.stop_at,
            "wave": ask.wave,
            "chains": len(solution.chains),
            "of": ask.samples,
            "sure": solution.sure,
        }
    return value


def _chains(chains: Sequence[Chain]) -> list[dict[str, Any]]:
    return [
        {
            "index": chain.index,
            "text": chain.text,
            "answer": chain.answer,
            "weight": chain.weight,
            "logprob": chain.logprob,
            "tokens": len(chain.logprobs),
            "finish": chain.finish.value,
        }
        for chain in chains
    ]
