"""The section of a run's report on example votes: problems with bars by rule, and chains verbatim."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.report.charts import Bar, BarChart, percent
from nsad_cli.report.document import Figure, Fold, Heading, Paragraph, Quote, Section, Table
from nsad_cli.utils.terminal_text import RIGHT, UNKNOWN, WRONG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nsad_cli.report.contents import Contents
    from nsad_cli.report.document import Block
    from nsad_cli.report.stored_votes import Example
    from nsad_cli.types import Chain
    from nsad_cli.voting.rule_results import RuleResult

MAX_TEXT = 1500
"""Characters of a model's text that are quoted."""
MAX_BARS = 8
"""Answers of an example vote that are drawn."""


def examples_section(contents: Contents) -> Section:
    """Lay out problems that show how votes decide, with chains verbatim."""
    blocks: list[Block] = []
    for example in contents.votes.examples:
        blocks += _example(example)
    if not blocks:
        blocks.append(Paragraph("The run has no votes to show."))
    return Section("examples", "Example votes", tuple(blocks))


def _example(example: Example) -> Iterator[Block]:
    yield Heading(example.why)
    gold = f"; right answer: {example.problem.answer}" if example.problem.answer else ""
    yield Quote(f"Problem {example.problem.id} ({example.model}){gold}", _shortened(example.problem.question))
    for result in example.results:
        yield Figure(_vote_chart(example, result))
    quoted = [
        Quote(f"Chain {chain.index}, answer {_answer(chain)}", _shortened(chain.text)) for chain in _chosen(example)
    ]
    yield Fold("Chains", (_chains_table(example.chains), *quoted))


def _vote_chart(example: Example, result: RuleResult) -> BarChart:
    right = {chain.answer_class for chain in example.chains if chain.correct}
    bars = tuple(
        Bar(
            f"{RIGHT if name in right else WRONG} {vote.answer}",
            share,
            f"{percent(share)}, {vote.count} chain{'s' * (vote.count != 1)}",
            "good" if name in right else "bad",
        )
        for vote, name, share in list(zip(result.ballot.votes, result.classes, result.shares, strict=True))[:MAX_BARS]
    )
    title = f"{result.rule}: " + ("no chain has an answer" if not bars else f"{_cut(result.ballot.answer)} wins")
    return BarChart(title, f"shares of the votes by {result.rule}", bars)


def _chains_table(chains: Sequence[Chain]) -> Table:
    rows = tuple(
        (
            str(chain.index),
            {True: RIGHT, False: WRONG, None: UNKNOWN}[chain.correct],
            _answer(chain),
            "–" if chain.weight is None else f"{chain.weight:.3f}",
            "–" if chain.logprob is None else f"{chain.logprob:.3f}",
            f"{len(chain.logprobs):,}",
        )
        for chain in chains
    )
    return Table("All chains", ("chain", "right", "answer", "weight", "mean log-probability", "tokens"), rows, left=3)


def _chosen(example: Example) -> list[Chain]:
    """Choose the winner's first chain, and one of the other correctness to set beside it."""
    first = example.results[-1].ballot.votes if example.results else ()
    winner = next((chain for chain in example.chains if first and chain.index in first[0].chains), None)
    shown = winner or next(iter(example.chains), None)
    if shown is None:
        return []
    other = next((chain for chain in example.chains if bool(chain.correct) != bool(shown.correct)), None)
    return [shown] if other is None else [shown, other]


def _answer(chain: Chain) -> str:
    return "none" if chain.answer is None else _cut(chain.answer)


def _cut(text: str | None) -> str:
    line = " ".join((text or "").split())
    return line if len(line) <= 60 else line[:59] + "…"


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + f"\n… {len(text) - MAX_TEXT:,} more characters"
