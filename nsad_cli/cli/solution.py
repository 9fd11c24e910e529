"""A solution for people and for programs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nsad_cli.cli.output import out
from nsad_cli.types import Chain

if TYPE_CHECKING:
    from rich.console import Console

    from nsad_cli.solve import Ask, Solution

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\\$(])")


def print_solution(solution: Solution, ask: Ask, *, verbose: bool = False) -> None:
    """Chains with their weights, votes as bars, the answer, its share, and how near it was to another one."""
    from nsad_cli.cli.vote_tables import ballot_table, chains_table

    console = out()
    if verbose:
        for chain in solution.chains:
            _print_steps(console, chain)
    if solution.ballot.votes:
        console.print(chains_table(solution.chains, solution.ballot))
        console.print(ballot_table(solution.ballot, solution.problem.answer))
    for line in conclusion(solution, ask):
        console.print(line)


def conclusion(solution: Solution, ask: Ask) -> list[str]:
    """The answer, its share, how near the vote was, and what stopping early made of it; a line each, rich markup."""
    from nsad_cli.cli.vote_tables import shown

    ballot = solution.ballot
    lines = []
    if ballot.answer is None:
        lines.append(
            f"[bold yellow]no answer[/]: none of {len(solution.chains)} chains states one (--verbose prints them)"
        )
    else:
        lines += [f"[bold]answer: [green]{shown(ballot.answer)}[/][/]", f"  {_margin(solution)}"]
    if solution.sure is not None and ask.stop_at is not None:
        drawn = f"{len(solution.chains)} of {ask.samples} chains drawn"
        stays = f"that the leader stays it is {solution.sure:.1%} sure"
        lines.append(f"  {drawn}: {stays}" + ("" if solution.sure >= ask.stop_at else f", less than {ask.stop_at:.0%}"))
    return lines


def _margin(solution: Solution) -> str:
    """How near the vote was to going the other way."""
    from nsad_cli.cli.vote_tables import shown
    from nsad_cli.voting import chains_to_turn

    ballot, chains = solution.ballot, solution.chains
    silent = sum(chain.answer is None for chain in chains)
    none = f"; {silent} of {len(chains)} state none" if silent else ""
    if len(ballot.votes) == 1:
        return f"no chain states another answer{none}"
    first, second = ballot.votes[:2]
    what = "chains" if ballot.rule == "sc" else "weight"
    total = sum(max(vote.weight, 0.0) for vote in ballot.votes) or 1.0
    share = f"{ballot.share:.0%} of the {what}, {shown(second.answer)} has {max(second.weight, 0.0) / total:.0%}{none}"
    if ballot.rule == "best":
        weights = {chain.index: chain.weight or 0.0 for chain in chains}
        best, other = (max(weights[index] for index in vote.chains) for vote in (first, second))
        return f"{share}; its best chain scores {best:.3f}, the best of {shown(second.answer)} {other:.3f}"
    count = chains_to_turn(chains, ballot)
    if first.count == 1:
        return f"{share}; it rests on one chain"
    return f"{share}; had {count} of its {first.count} chains said {shown(second.answer)}, that had won"


def _print_steps(console: Console, chain: Chain) -> None:
    """A chain in full, a step a line, each with the mean probability of its tokens."""
    from nsad_cli.cli.vote_tables import shown

    console.rule(f"chain {chain.index}", align="left", style="dim")
    for number, (text, likely) in enumerate(steps(chain), 1):
        probability = "    " if likely is None else f"{likely:.2f}"
        console.print(f"[dim]{number:>3}  {probability}[/]  {shown(text)}")
    console.print()


def steps(chain: Chain) -> list[tuple[str, float | None]]:
    """A chain's steps, its lines or else its sentences, each with its tokens' geometric mean probability."""
    import math

    pieces = _spans(chain.text, re.compile(r"\n+"))
    if len(pieces) == 1:
        pieces = _spans(chain.text, _SENTENCE)
    found = []
    for start, end in pieces:
        own = [p for offset, p in zip(chain.offsets, chain.logprobs, strict=False) if start < offset <= end]
        found.append((chain.text[start:end].strip(), math.exp(sum(own) / len(own)) if own else None))
    return found


def _spans(text: str, between: re.Pattern[str]) -> list[tuple[int, int]]:
    """Where the pieces of a text stand that are not blank."""
    marks = [0, *(place for found in between.finditer(text) for place in found.span()), len(text)]
    spans = zip(marks[::2], marks[1::2], strict=True)
    return [(start, end) for start, end in spans if text[start:end].strip()]


def solution_json(solution: Solution, ask: Ask | None = None) -> dict[str, Any]:
    """The object of `nsad solve --json`: share is of the weight, logprob the mean per token.

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
        }
        for chain in chains
    ]
