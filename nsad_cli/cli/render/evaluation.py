"""Tables of the results of `nsad eval`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from nsad_cli.cli.render.tables import Fitted, never_break_numbers, new_table, p_value, percent

if TYPE_CHECKING:
    from rich.table import Table


def results_table(rows: Sequence[dict[str, Any]]) -> Fitted:
    """Build the table of accuracies with their 95 % intervals, in percent."""
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
        "trun-\ncated",
        left=3,
    )
    never_break_numbers(table)
    before = None
    for row in rows:
        here = (row["benchmark"], row["model"])
        if before is not None and here != before:
            table.add_section()
        rule = row["rule"] or "greedy"
        table.add_row(
            *(here if here != before else ("", "")),
            f"{rule} *" if "ranker_refused" in row else rule,
            str(row["n"]),
            str(row["samples"]),
            f"{100 * row['accuracy']:.1f}",
            f"{100 * row['ci95'][0]:.1f}–{100 * row['ci95'][1]:.1f}",
            f"{100 * row['unanswered']:.0f}",
            f"{100 * row['truncated']:.0f}",
        )
        before = here
    bound = "; any: at least one chain is right, an upper bound" if any(row["rule"] == "any" for row in rows) else ""
    estimates = any(row["method"] == "samples" for row in rows)
    mean = ";\nmean: over chains; pass@k: one of k is right, unbiased" if estimates else ""
    refused = next((row["ranker_refused"] for row in rows if "ranker_refused" in row), None)
    star = f";\n*: not used, the ranker is refused: {refused}" if refused else ""
    table.caption = f"k: chains per problem{bound}{mean}{star}"
    return Fitted(table)


def stopping_table(rows: Sequence[dict[str, Any]]) -> Fitted:
    """Build the table of chains, tokens and accuracy with early stopping, simulated on the same chains."""
    first = rows[0]
    table = new_table(
        f"Early stopping at {first['stop_at']:.0%}, {first['wave']} at a time, simulated on these chains",
        *("benchmark", "model", "by", "chains\nof all", "tokens\nof all", "same\nanswer", "right"),
        left=3,
    )
    never_break_numbers(table)
    before = None
    for row in rows:
        here = (row["benchmark"], row["model"])
        table.add_row(
            *(here if here != before else ("", "")),
            row["rule"],
            f"{row['chains']} of {row['of_chains']}",
            percent(row["tokens"] / row["of_tokens"]) if row["of_tokens"] else "–",
            percent(row["same"]),
            percent(row["accuracy"]),
        )
        before = here
    return Fitted(table)


def group_tables(rows: Sequence[dict[str, Any]], rule: str) -> list[Fitted]:
    """Build tables of accuracy in % by subject and by level, for each benchmark: greedy, and by the rule or else sc."""
    from rich.markup import escape

    from nsad_cli.utils.terminal_text import escape_controls

    tables = []
    for benchmark, by in dict.fromkeys((row["benchmark"], row["by"]) for row in rows):
        mine = [row for row in rows if (row["benchmark"], row["by"]) == (benchmark, by)]
        found = {(row["group"], row["model"], row["rule"]): row for row in mine}
        models = list(dict.fromkeys(row["model"] for row in mine))
        columns = [
            (model, name)
            for model in models
            for name in (None, rule if any(key[1:] == (model, rule) for key in found) else "sc")
            if any(key[1:] == (model, name) for key in found)
        ]
        heads = [f"{model}\n{name or 'greedy'}" for model, name in columns]
        table = new_table(f"{benchmark} by {by}: right in %", by, "n", *heads)
        for group in dict.fromkeys(row["group"] for row in mine):
            cells = [found[(group, *column)] for column in columns]
            right = [f"{100 * cell['accuracy']:.1f}" for cell in cells]
            table.add_row(escape(escape_controls(group)) or "(none)", str(cells[0]["n"]), *right)
        never_break_numbers(table, 1)
        tables.append(Fitted(table))
    return tables


def comparison_tables(rows: Sequence[dict[str, Any]], a: str, b: str) -> list[Fitted]:
    """Build the tables that compare two models, one per benchmark: accuracies, their difference, McNemar's p."""
    tables = []
    for benchmark in dict.fromkeys(row["benchmark"] for row in rows):
        title, mine = f"{benchmark}: A {a}, B {b}; in %", [row for row in rows if row["benchmark"] == benchmark]
        tables.append(Fitted(*(_comparison(title, mine, without) for without in ((), OPTIONAL[:1], OPTIONAL))))
    return tables


OPTIONAL = ("bootstrap", "A : B\nalone")
"""Columns that are omitted first in a narrow terminal."""
COLUMN_NOTES = {
    "interval": "interval: Newcombe's for pairs, 95 %",
    "bootstrap": "bootstrap: paired, 95 %; too narrow if few problems differ",
    "p": "p: McNemar, exact",
    "A : B\nalone": "alone: problems that only A, or only B, has right",
}


def _comparison(title: str, rows: Sequence[dict[str, Any]], without: Collection[str]) -> Table:
    heads = ["by", "n", "A", "B", "B − A", "interval", "bootstrap", "A : B\nalone", "p"]
    kept = [head for head in heads if head not in without]
    table = new_table(title, *kept)
    never_break_numbers(table, 0)
    for row in rows:
        cells = (
            row["rule"] or "greedy",
            str(row["n"]),
            f"{100 * row['a']:.1f}",
            f"{100 * row['b']:.1f}",
            f"{100 * row['difference']:+.1f}",
            *(f"{100 * low:+.1f} … {100 * high:+.1f}" for low, high in (row["ci95"], row["bootstrap95"])),
            "–" if row["only_a"] is None else f"{row['only_a']} : {row['only_b']}",
            p_value(row["p"]),
        )
        table.add_row(*(cell for head, cell in zip(heads, cells, strict=True) if head in kept))
    most = max(row["samples"] for row in rows)
    votes = [f"votes over {most} chains of each problem"] if any(row["rule"] for row in rows) else []
    omitted = " and ".join(" ".join(head.split()) for head in heads if head in without)
    narrow = [f"omitted here, see --json: {omitted}"] if omitted else []
    table.caption = ";\n".join([*votes, *(text for head, text in COLUMN_NOTES.items() if head in kept), *narrow])
    return table


def contributions_table(rows: Sequence[dict[str, Any]]) -> Fitted:
    """Build the table of what each step adds to the one before it; see evaluation.contributions."""
    title = f"What each step adds, on the same {rows[0]['n']} problems" if rows else "What each step adds"
    table = new_table(title, "step", "right", "added", "interval", "won", "lost", "p", left=1)
    never_break_numbers(table, 1)
    for row in rows:
        if "p" not in row:
            table.add_row(row["step"], percent(row["accuracy"]), *[""] * 5)
            continue
        low, high = row["ci95"]
        added = f"{100 * row['difference']:+.1f}"
        table.add_row(
            row["step"],
            percent(row["accuracy"]),
            added,
            f"{100 * low:+.1f} – {100 * high:+.1f}",
            str(row["won"]),
            str(row["lost"]),
            p_value(row["p"]),
        )
    table.caption = "won, lost: problems that only this step, or only the one before it, has right; p: McNemar's test"
    return Fitted(table)
