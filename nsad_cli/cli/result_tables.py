"""What `nsad eval` measured, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nsad_cli.cli.tables import new_table, percent

if TYPE_CHECKING:
    from rich.table import Table


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
    _numbers_whole(table)
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
    estimates = any(row["method"] == "samples" for row in rows)
    mean = ";\nmean: over chains; pass@k: one of k is right, unbiased" if estimates else ""
    table.caption = f"k: chains a problem{bound}{mean}"
    return table


def _numbers_whole(table: Table) -> None:
    """Where room is short the names of benchmark and model break, never a number."""
    for i, column in enumerate(table.columns):
        column.no_wrap, column.overflow = i > 1, "fold"


def stopping_table(rows: Sequence[dict[str, Any]]) -> Table:
    """What stopping early would have cost and given, from the same chains."""
    first = rows[0]
    table = new_table(
        f"Stopping at {first['stop_at']:.0%}, {first['wave']} at a time: what it would have made of these chains",
        *("benchmark", "model", "by", "chains\nof all", "tokens\nof all", "same\nanswer", "right"),
        left=3,
    )
    _numbers_whole(table)
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
    return table


def group_tables(rows: Sequence[dict[str, Any]], rule: str) -> list[Table]:
    """Accuracy in % by subject and by level, a table a benchmark: greedy, and by the rule (or sc where it is not)."""
    from rich.markup import escape

    from nsad_cli.readable import printable

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
            table.add_row(escape(printable(group)) or "(none)", str(cells[0]["n"]), *right)
        tables.append(table)
    return tables


def comparison_tables(rows: Sequence[dict[str, Any]], a: str, b: str) -> list[Table]:
    """Two models on the same problems, a table a benchmark: accuracies, their difference, McNemar's p."""
    return [
        _comparison(f"{benchmark}: A {a}, B {b}; in %", [row for row in rows if row["benchmark"] == benchmark])
        for benchmark in dict.fromkeys(row["benchmark"] for row in rows)
    ]


def _comparison(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    table = new_table(title, "by", "n", "A", "B", "B − A", "interval", "A\nalone", "B\nalone", "p")
    for column in table.columns:
        column.no_wrap = True
    for row in rows:
        alone = ["–" if row[key] is None else str(row[key]) for key in ("only_a", "only_b")]
        table.add_row(
            row["rule"] or "greedy",
            str(row["n"]),
            f"{100 * row['a']:.1f}",
            f"{100 * row['b']:.1f}",
            f"{100 * row['difference']:+.1f}",
            f"{100 * row['ci95'][0]:+.1f} … {100 * row['ci95'][1]:+.1f}",
            *alone,
            "–" if row["p"] is None else f"{row['p']:.3f}" if row["p"] >= 0.001 else "<0.001",
        )
    table.caption = "interval: paired bootstrap, 95 %; p: McNemar, exact;\nalone: problems that only this one has right"
    return table
