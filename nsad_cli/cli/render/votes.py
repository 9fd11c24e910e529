"""Chains and votes as tables and bars."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from nsad_cli.cli.render.tables import LEAST, Fitted, keep, new_table
from nsad_cli.types import Ballot, Chain, Finish
from nsad_cli.utils.terminal_text import escape_controls, render_latex
from nsad_cli.voting.bar_chart import bar, verdict_mark
from nsad_cli.voting.rules import ranking_weights

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.measure import Measurement
    from rich.table import Table

BAR = 28
JUDGED = {True: "green", False: "red", None: "dim"}
SHORTER = (24, 20, 16, 12, 8)
ANSWER = 24
"""Cells that a bar leaves to a long answer; in the table of chains other columns leave it two thirds of that."""
LESS = (("tokens",), ("tokens", "log p"), ("tokens", "log p", "p(token)"), ("tokens", "log p", "p(token)", "its end"))
"""Columns of the chains that are left out where room is short."""


def shown(text: str) -> str:
    """Model text for a cell: LaTeX readable, control characters shown, nothing of it taken for markup."""
    from rich.markup import escape

    return escape(escape_controls(render_latex(text)))


def ballot_table(ballot: Ballot, chains: Sequence[Chain], gold: str = "", most: int | None = None) -> Fitted:
    """A bar for each answer, the winner first, as long as its share of the weight; under `best`, which one chain
    decides, as its highest score. `most`: the first few alone.

    Where room is short the bars shrink, then they go, and only then long answers break further.
    """
    return Fitted(*(_ballot(ballot, chains, gold, most, width) for width in (BAR, *SHORTER, 0)))


def _ballot(ballot: Ballot, chains: Sequence[Chain], gold: str, most: int | None, width: int) -> Table:
    best = ballot.rule == "best"
    numbers = ("best score",) if best else ("share", "weight")
    table = new_table(f"Votes by {ballot.rule}", "answer", *([""] if width else []), *numbers, "chains")
    for column in table.columns[1:]:
        column.no_wrap = True
    table.columns[0].overflow = "fold"
    if width:
        table.columns[1].justify = "left"
    decided = ranking_weights(chains, ballot)
    total = 1.0 if best else sum(max(weight, 0.0) for weight in decided) or 1.0
    for i, (vote, weight) in enumerate(zip(ballot.votes[:most], decided, strict=False)):
        share = min(max(weight, 0.0) / total, 1.0)
        style = "bold green" if i == 0 else ""
        table.add_row(
            f"{'▸' if i == 0 else ' '} {shown(vote.answer)}",
            *([f"[{'green' if i == 0 else 'cyan'}]{bar(share, width)}[/]"] if width else []),
            *(() if best else (f"{share:.0%}",)),
            _weight(weight, ballot.rule),
            str(vote.count),
            style=style,
        )
    if ballot.votes:
        keep(table.columns[0], ANSWER if width else LEAST)
    if gold:
        table.caption = f"gold answer: {shown(gold)}"
    elif most is not None and len(ballot.votes) > most:
        more = len(ballot.votes) - most
        table.caption = f"and {more} more answer{'s' if more > 1 else ''}"
    return table


def chains_table(chains: Sequence[Chain], ballot: Ballot, most: int | None = None, *, judged: bool = False) -> Fitted:
    """Each chain with its answer, its weight under the ballot's rule and the mean probability of its tokens.

    One that was cut off at the limit of tokens is marked. `most`: the last few alone. judged: with whether it is right,
    and the mean log-probability. Where room is short columns go, the answers never.
    """
    return Fitted(*(_chains(chains, ballot, most, judged, without) for without in ((), *LESS)))


def _chains(chains: Sequence[Chain], ballot: Ballot, most: int | None, judged: bool, without: Collection[str]) -> Table:
    heads = ["#", "answer", "its end", "weight", "p(token)", "log p", "tokens"]
    kept = [head not in without and (judged or head != "log p") for head in heads]
    table = new_table("Chains", *itertools.compress(heads, kept), left=2)
    for column in table.columns:
        column.no_wrap = column.header != "answer"
        if column.header == "its end":
            column.justify, column.ratio, column.width = "left", 1, LEAST
            table.expand = True
    table.columns[1].overflow = "fold"
    winning = set(ballot.votes[0].chains) if ballot.votes else set()
    weights = weights_shown(chains, ballot.rule)
    for chain in chains[-most:] if most else chains:
        place = "▸" if chain.index in winning else " "
        answer = shown(chain.answer) if chain.answer is not None else "[dim]none[/]"
        mean = chain.logprob
        cells: tuple[RenderableType, ...] = (
            f"{place} {chain.index}",
            f"[{JUDGED[chain.correct]}]{verdict_mark(chain.correct)}[/] {answer}" if judged else answer,
            _Tail(escape_controls(render_latex(" ".join(chain.text.split())))),
            _weight(weights[chain.index], ballot.rule),
            "–" if mean is None else f"{math.exp(mean):.2f}",
            "–" if mean is None else f"{mean:.3f}",
            _tokens(chain),
        )
        table.add_row(*itertools.compress(cells, kept))
    if chains:
        keep(table.columns[1], 2 * ANSWER // 3 if "its end" not in without else LEAST)
    return table


def _tokens(chain: Chain) -> str:
    count = str(len(chain.logprobs)) if chain.logprobs else "–"
    return f"[yellow]cut {count}[/]" if chain.finish is Finish.LENGTH else count


def weights_shown(chains: Sequence[Chain], rule: str) -> dict[int, float | None]:
    """Each chain's weight under a rule; None where what it needs is not there (yet)."""
    from nsad_cli.errors import UsageError
    from nsad_cli.voting.rules import chain_weights

    weights: dict[int, float | None] = dict.fromkeys((chain.index for chain in chains), None)
    with contextlib.suppress(UsageError):
        weights.update(chain_weights(chains, rule))
    if rule == "wsc":
        weights.update((chain.index, None) for chain in chains if chain.logprob is None)
    return weights


def _weight(weight: float | None, rule: str) -> str:
    if weight is None:
        return "–"
    return f"{weight:.0f}" if rule == "sc" else f"{weight:.3f}"


class _Tail:
    """The last words of a line, as many as its cell has room for: there a chain's answer stands."""

    def __init__(self, line: str) -> None:
        self.line = line

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.measure import Measurement

        return Measurement(8, max(len(self.line), 8))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.cells import cell_len
        from rich.text import Text

        line = self.line
        if cell_len(line) > options.max_width:
            line = line[-options.max_width :]
            while cell_len(line) > options.max_width - 1:
                line = line[1:]
            line = "…" + line
        yield Text(line, style="dim", no_wrap=True)
