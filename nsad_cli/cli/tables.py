"""Tables and bars that several commands print."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nsad_cli.types import Ballot, Chain

if TYPE_CHECKING:
    from rich.table import Table

BAR = 28
HEADINGS = {
    "correct": "correct",
    "wrong": "wrong",
    "no_answer": "no\nanswer",
    "truncated": "trun-\ncated",
    "filtered": "fil-\ntered",
    "bad_gold": "bad\ngold",
    "timeout": "time-\nout",
    "disputed": "dis-\nputed",
    "ungraded": "un-\ngraded",
}
"""Of the ledger's columns, in order, narrow."""
MAIN = ("correct", "wrong", "no_answer", "disputed")
MOST = 6
"""Verdicts that fit into 80 columns beside MATH's subjects."""


def new_table(title: str, *columns: str, left: int = 1) -> Table:
    """A plain table whose first `left` columns are text and whose others are numbers."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.padding = (0, 1, 0, 0)
    table.caption_justify = "left"
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < left else "right")
    return table


def ledger_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Draws by teacher and subject, a column a verdict; below them all draws, and each verdict's share.

    Where there are many verdicts the rarer kinds share a column, and the caption tells them apart.
    """
    from nsad_cli.cli.output import printable

    totals = _draws(rows)
    verdicts = [name for name in HEADINGS if name in totals]
    shown = verdicts if len(verdicts) <= MOST else [name for name in verdicts if name in MAIN]
    others = [name for name in verdicts if name not in shown]
    headings = [HEADINGS[name] for name in shown] + ["other"] * bool(others)
    table = new_table("Ledger (draws; correct is D+, wrong is D−)", "teacher", *headings)
    table.columns[0].overflow = "fold"

    def numbers(found: Counter[str]) -> list[int]:
        return [found[name] for name in shown] + [sum(found[name] for name in others)] * bool(others)

    def add(name: str, chosen: Sequence[dict[str, Any]]) -> None:
        table.add_row(printable(name).replace("[", "\\["), *map(str, numbers(_draws(chosen))))

    teachers = list(dict.fromkeys(row["teacher"] for row in rows))
    for teacher in teachers:
        mine = [row for row in rows if row["teacher"] == teacher]
        add(teacher, mine)
        subjects = list(dict.fromkeys(row["subject"] for row in mine))
        for subject in subjects if any(subjects) else ():
            add(f"  {subject or '(no subject)'}", [row for row in mine if row["subject"] == subject])
    if len(teachers) > 1:
        add("all", rows)
    if rows:
        table.add_row("share", *(_percent(number / totals.total()) for number in numbers(totals)), style="dim")
    if others:
        table.caption = "other: " + ", ".join(
            f"{totals[name]} {name} ({_percent(totals[name] / totals.total())})" for name in others
        )
    return table


def _draws(rows: Sequence[dict[str, Any]]) -> Counter[str]:
    """Draws by verdict."""
    found: Counter[str] = Counter()
    for row in rows:
        found[row["verdict"]] += row["draws"]
    return found


def _percent(share: float) -> str:
    return "<0.1%" if 0 < share < 0.0005 else f"{share:.1%}"


def results_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Accuracies with their 95 % intervals, in percent."""
    table = new_table(
        "Accuracy and its Wilson 95 % interval; all in %",
        "benchmark",
        "model",
        "by",
        "n",
        "k",
        "right",
        "interval",
        "no\nanswer",
        "cut\noff",
        left=3,
    )
    for column in table.columns:
        column.no_wrap = True
    before = None
    for row in rows:
        here = (row["benchmark"], row["model"])
        if before is not None and here != before:
            table.add_section()
        rule = row["rule"] or "greedy"
        table.add_row(
            *(here if here != before else ("", "")),
            rule,
            str(row["n"]),
            str(row["samples"]),
            f"{100 * row['accuracy']:.1f}",
            f"{100 * row['ci95'][0]:.1f}–{100 * row['ci95'][1]:.1f}",
            f"{100 * row['unanswered']:.0f}",
            f"{100 * row['truncated']:.0f}",
        )
        before = here
    bound = "; any: some chain is right, a bound on every vote" if any(row["rule"] == "any" for row in rows) else ""
    table.caption = f"k: chains a problem{bound}"
    return table


def shown(text: str) -> str:
    """Model text for a cell: LaTeX readable, control characters shown, nothing of it taken for markup."""
    from rich.markup import escape

    from nsad_cli.cli.output import printable
    from nsad_cli.cli.readable import readable

    return escape(printable(readable(text)))


def ballot_table(ballot: Ballot, gold: str = "", most: int | None = None) -> Table:
    """A bar for each answer, as long as its share of the weight, the winner first; `most`: the first few alone."""
    table = new_table(f"Votes by {ballot.rule}", "answer", "", "share", "weight", "chains", left=2)
    table.columns[0].overflow = "fold"
    table.columns[1].no_wrap = True
    total = sum(max(vote.weight, 0.0) for vote in ballot.votes) or 1.0
    for i, vote in enumerate(ballot.votes[:most]):
        share = max(vote.weight, 0.0) / total
        style = "bold green" if i == 0 else ""
        table.add_row(
            f"{'▸' if i == 0 else ' '} {shown(vote.answer)}",
            f"[{'green' if i == 0 else 'cyan'}]{bar(share)}[/]",
            f"{share:.0%}",
            f"{vote.weight:.3f}",
            str(vote.count),
            style=style,
        )
    if gold:
        table.caption = f"gold answer: {shown(gold)}"
    elif most is not None and len(ballot.votes) > most:
        table.caption = f"and {len(ballot.votes) - most} more answers"
    return table


def bar(share: float, width: int = BAR) -> str:
    """A bar of eighths of a cell, padded to its width; more than nothing is never drawn as nothing."""
    eighths = max(round(8 * width * share), 1 if share > 0 else 0)
    text = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
    return f"{text:<{width}}"


def chains_table(chains: Sequence[Chain], ballot: Ballot, most: int | None = None) -> Table:
    """Each chain with its answer, its weight under the ballot's rule and the mean probability of its tokens.

    `most`: the last few alone.
    """
    table = new_table("Chains", "#", "answer", "its end", "weight", "p(token)", "tokens", left=3)
    table.columns[2].no_wrap = True
    table.columns[2].ratio = 1
    table.expand = True
    winning = set(ballot.votes[0].chains) if ballot.votes else set()
    weights = weights_shown(chains, ballot.rule)
    for chain in chains[-most:] if most else chains:
        mark = "▸" if chain.index in winning else " "
        table.add_row(
            f"{mark} {chain.index}",
            shown(chain.answer) if chain.answer is not None else "[dim]none[/]",
            f"[dim]{shown(_end(chain.text))}[/]",
            "–" if weights[chain.index] is None else f"{weights[chain.index]:.3f}",
            "–" if chain.logprob is None else f"{math.exp(chain.logprob):.2f}",
            str(len(chain.logprobs)) if chain.logprobs else "–",
        )
    return table


def weights_shown(chains: Sequence[Chain], rule: str) -> dict[int, float | None]:
    """Each chain's weight under a rule; None where what it needs is not there (yet)."""
    from nsad_cli.errors import UsageError
    from nsad_cli.voting import chain_weights

    weights: dict[int, float | None] = dict.fromkeys((chain.index for chain in chains), None)
    with contextlib.suppress(UsageError):
        weights.update(chain_weights(chains, rule))
    return weights


def _end(text: str, most: int = 100) -> str:
    """The last words of a chain, on one line: there its answer stands."""
    line = " ".join(text.split())
    return line if len(line) <= most else "…" + line[1 - most :]
