"""Tables of chains, and of votes with bars."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nsad_cli.cli.render.tables import MIN_COLUMN_WIDTH, Fitted, in_percent, keep, new_table, p_value, percent
from nsad_cli.grading.marked_steps import checked_steps
from nsad_cli.types import Ballot, Chain, Finish
from nsad_cli.utils.terminal_text import WRONG, escape_controls, render_latex
from nsad_cli.voting.bar_chart import bar, verdict_mark
from nsad_cli.voting.rules import ranking_weights

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.measure import Measurement
    from rich.table import Table

BAR_WIDTH = 28
JUDGED = {True: "green", False: "red", None: "dim"}
SHORTER_BARS = (24, 20, 16, 12, 8)
ANSWER_WIDTH = 24
"""The width reserved for a long answer beside a bar, in cells; the table of chains reserves two thirds of it."""
OMITTED = (
    ("tokens",),
    ("tokens", "log p"),
    ("tokens", "log p", "p(token)"),
    ("tokens", "log p", "p(token)", "its end"),
    ("tokens", "log p", "p(token)", "its end", "steps"),
)
"""The columns of the table of chains to omit, step by step, in a narrow terminal."""


def shown(text: str) -> str:
    """Format model text for a cell: LaTeX rendered, control characters and rich's markup escaped."""
    from rich.markup import escape

    return escape(escape_controls(render_latex(text)))


def ballot_table(ballot: Ballot, chains: Sequence[Chain], gold: str = "", most: int | None = None) -> Fitted:
    """Build the table of votes: a bar for each answer, the winner first.

    In a narrow terminal the bars shrink, then disappear, and only then long answers break further.

    Args:
        ballot: The votes. A bar is an answer's share of the weight; under the rule `best`, its highest score.
        chains: The chains that voted.
        gold: The gold answer; empty if unknown.
        most: The maximum number of answers; None for all.

    Returns:
        The table.
    """
    return Fitted(*(_ballot(ballot, chains, gold, most, width) for width in (BAR_WIDTH, *SHORTER_BARS, 0)))


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
        keep(table.columns[0], ANSWER_WIDTH if width else MIN_COLUMN_WIDTH)
    if gold:
        table.caption = f"gold answer: {shown(gold)}"
    elif most is not None and len(ballot.votes) > most:
        more = len(ballot.votes) - most
        table.caption = f"and {more} more answer{'s' if more > 1 else ''}"
    return table


def chains_table(chains: Sequence[Chain], ballot: Ballot, most: int | None = None, *, judged: bool = False) -> Fitted:
    """Build the table of chains: answer, weight under the ballot's rule, mean token probability, number of tokens.

    Truncated chains are marked. In a narrow terminal columns are omitted, but never the answers.

    Args:
        chains: The chains.
        ballot: Their votes.
        most: The maximum number of chains, counted from the last one; None for all.
        judged: Whether to show correctness, the mean log-probability and, if there are any, the checked steps too.

    Returns:
        The table.
    """
    return Fitted(*(_chains(chains, ballot, most, judged, without) for without in ((), *OMITTED)))


def _chains(chains: Sequence[Chain], ballot: Ballot, most: int | None, judged: bool, without: Collection[str]) -> Table:
    heads = ["#", "answer", "its end", "weight", "p(token)", "log p", "tokens", "steps"]
    shows = {"log p": judged, "steps": judged and any(checked_steps(chain.text).checked for chain in chains)}
    kept = [head not in without and shows.get(head, True) for head in heads]
    table = new_table("Chains", *itertools.compress(heads, kept), left=2)
    for column in table.columns:
        column.no_wrap = column.header != "answer"
        if column.header == "its end":
            column.justify, column.ratio, column.width = "left", 1, MIN_COLUMN_WIDTH
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
            _steps(chain) if judged else "",
        )
        table.add_row(*itertools.compress(cells, kept))
    if chains:
        keep(table.columns[1], 2 * ANSWER_WIDTH // 3 if "its end" not in without else MIN_COLUMN_WIDTH)
    return table


def _tokens(chain: Chain) -> str:
    count = str(len(chain.logprobs)) if chain.logprobs else "–"
    return f"[yellow]cut {count}[/]" if chain.finish is Finish.LENGTH else count


def _steps(chain: Chain) -> str:
    """Count the right ones among a chain's checked steps; a wrong one is marked."""
    checks = checked_steps(chain.text)
    if not checks.checked:
        return "–"
    count = f"{checks.right}/{checks.checked}"
    return f"[red]{WRONG} {count}[/]" if checks.first_wrong else count


def weights_shown(chains: Sequence[Chain], rule: str) -> dict[int, float | None]:
    """Return each chain's weight under a rule; None if a score or log-probability that it needs is missing."""
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
    """Renders as much of the end of a line as fits into its cell; a chain's answer is at its end."""

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


def rules_table(title: str, rows: Sequence[Mapping[str, Any]]) -> Fitted:
    """Build the table of a file's votes by every rule, each compared with counting (`sc`).

    Args:
        title: The table's title.
        rows: The list `rules` of `nsad vote FILE --json`.
    """
    table = new_table(title, "rule", "right", "95 % interval", "− sc", "95 % interval", "won : lost", "p")
    for row in rows:
        difference = ["", "", "", ""]
        if "p" in row:
            low, high = row["difference_ci95"]
            difference = [
                f"{100 * row['difference']:+.1f}",
                f"{100 * low:+.1f} … {100 * high:+.1f}",
                f"{row['won']} : {row['lost']}",
                p_value(row["p"]),
            ]
        table.add_row(row["rule"], percent(row["accuracy"]), in_percent(*row["ci95"]), *difference)
    for column in table.columns:
        column.no_wrap = True
    table.caption = "− sc in points, with Newcombe's paired interval and McNemar's exact p; any: some chain is right"
    return Fitted(table)
