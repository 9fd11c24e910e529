"""The tables of `nsad compare`: accuracy across models and runs, trained sizes, and the overlap of two models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nsad_cli.cli.render.evaluation import comparison_tables
from nsad_cli.cli.render.plan import short
from nsad_cli.cli.render.tables import Fitted, in_percent, keep, never_break_numbers, new_table, p_value, percent
from nsad_cli.utils.terminal_text import escape_controls

if TYPE_CHECKING:
    from rich.table import Table

    Row = dict[str, Any]

NAME_WIDTH = 12
"""The width reserved for a run's name or a list of stages, in cells."""


def comparison_report(result: Row) -> Iterator[Fitted]:
    """Build the tables of a comparison; see evaluation.comparison.compare_stored."""
    rows = result["results"]
    divided = [row for row in rows if row["by"] is not None]
    if not divided:
        yield accuracy_table("Accuracy in %", rows, "benchmark")
    for benchmark in dict.fromkeys(row["benchmark"] for row in divided):
        mine = [row for row in divided if row["benchmark"] == benchmark]
        yield accuracy_table(f"{benchmark}: accuracy in % by {mine[0]['by']}", mine, "group")
    yield size_table(result["models"])
    if result["a"] is not None:
        yield from comparison_tables(result["comparison"], result["a"], result["b"])
        for benchmark, rule in dict.fromkeys((row["benchmark"], row["rule"]) for row in result["overlap"]):
            mine = [row for row in result["overlap"] if (row["benchmark"], row["rule"]) == (benchmark, rule)]
            yield overlap_table(mine, result["a"], result["b"])


def accuracy_table(title: str, rows: Sequence[Row], key: str) -> Fitted:
    """Build the table of accuracies: a row for each run, model and rule, a column for each benchmark or group.

    Args:
        title: The title.
        rows: Rows of evaluation.across_runs.accuracy_rows.
        key: `benchmark` or `group`: what the columns are.
    """
    long = _long_table(title, rows, key)
    return Fitted(_wide_table(title, rows, key, "  "), _wide_table(title, rows, key, "\n"), long, stacked=long)


def _wide_table(title: str, rows: Sequence[Row], key: str, between: str) -> Table:
    """Build the table with a column for each value of `key`; `between` separates an accuracy from its interval."""
    columns = list(dict.fromkeys(row[key] for row in rows))
    sizes = {column: {row["n"] for row in rows if row[key] == column} for column in columns}
    same = all(len(found) == 1 for found in sizes.values())
    several = _shows_runs(rows)
    heads = [f"{_name(column)}\nn {sizes[column].copy().pop()}" if same else _name(column) for column in columns]
    names = (["run"] if several else []) + ["model", "by"]
    table = new_table(title, *names, "k", *heads, left=len(names))
    never_break_numbers(table, len(names))
    lines: dict[tuple[str, str, str | None], dict[str | None, Row]] = {}
    for row in rows:
        lines.setdefault((row["run"], row["model"], row["rule"]), {})[row[key]] = row
    before: tuple[str, str] | None = None
    seeds = _numbers_of_seeds(rows)
    for (run, model, rule), found in lines.items():
        here = (run, model)
        if before is not None and here != before:
            table.add_section()
        shown = ["", ""] if here == before else [_run_name(run, seeds[here]), _escaped(model)]
        cells = [_cell(found[column], between, same) if column in found else "–" for column in columns]
        chains = sorted({row["samples"] for row in found.values()})
        own_seeds = min(len(row["seeds"]) for row in found.values())
        by = _rule_name(rule, own_seeds, seeds[here])
        table.add_row(*(shown if several else shown[1:]), by, "/".join(map(str, chains)), *cells)
        before = here
    for column in table.columns[: len(names) - 1]:
        keep(column, NAME_WIDTH)
    table.columns[len(names) - 1].no_wrap = True
    table.caption = _accuracy_notes(rows)
    return table


def _long_table(title: str, rows: Sequence[Row], key: str) -> Table:
    """Build the table with a row for each value of `key`, for narrow terminals."""
    several = _shows_runs(rows)
    names = (["run"] if several else []) + ["model", "by", "on"]
    table = new_table(title, *names, "n", "k", "right", "interval", left=len(names))
    never_break_numbers(table, len(names))
    seeds = _numbers_of_seeds(rows)
    for row in rows:
        most = seeds[row["run"], row["model"]]
        by = _rule_name(row["rule"], len(row["seeds"]), most)
        shown = [_run_name(row["run"], most), _escaped(row["model"]), by, _name(row[key])]
        numbers = (str(row["n"]), str(row["samples"]), _mean(row), in_percent(*row["ci95"]))
        table.add_row(*(shown if several else shown[1:]), *numbers)
    table.caption = _accuracy_notes(rows)
    return table


def _shows_runs(rows: Sequence[Row]) -> bool:
    """Return whether the runs are named: there are several of them."""
    return len({name for row in rows for name in row["runs"]}) > 1


def _cell(row: Row, between: str, same: bool) -> str:
    n = "" if same else f"{between}n {row['n']}"
    return f"{_mean(row)}{between}{in_percent(*row['ci95'])}{n}"


def _mean(row: Row) -> str:
    spread = "" if row["sd"] is None else f" ± {100 * row['sd']:.1f}"
    return f"{100 * row['accuracy']:.1f}{spread}"


def _numbers_of_seeds(rows: Sequence[Row]) -> dict[tuple[str, str], int]:
    """Return the largest number of seeds in the rows of each run and model."""
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row["run"], row["model"])
        found[key] = max(found.get(key, 0), len(row["seeds"]))
    return found


def _run_name(run: str, seeds: int) -> str:
    return _escaped(run) + (f" ({seeds} seeds)" if seeds > 1 else "")


def _rule_name(rule: str | None, seeds: int, most: int) -> str:
    """Name a rule, with its number of seeds if other rules have more."""
    return (rule or "greedy") + (f"\n({seeds} of {most})" if seeds < most else "")


def _name(column: str | None) -> str:
    return "all" if column is None else _escaped(column) or "(none)"


def _escaped(name: str) -> str:
    return escape_controls(name).replace("[", "\\[")


def _accuracy_notes(rows: Sequence[Row]) -> str:
    notes = ["interval: Wilson, 95 %, over problems; k: chains per problem"]
    if any(row["sd"] is not None for row in rows):
        notes.append("±: standard deviation over seeds")
    if any(row["rule"] == "any" for row in rows):
        notes.append("any: at least one chain is right, an upper bound")
    return ";\n".join(notes)


def size_table(rows: Sequence[Row]) -> Fitted:
    """Build the table of what each model was trained on."""
    several = _shows_runs(rows)
    names = (["run"] if several else []) + ["model", "stages and their tokens"]
    table = new_table("Trained sizes", *names, "tokens", "param.", left=len(names))
    never_break_numbers(table, len(names))
    for row in rows:
        stages = ", ".join(f"{name} {_short(tokens)}" for name, tokens in row["stages"].items()) or "not trained"
        shown = [_escaped(row["run"]), _escaped(row["model"]), stages]
        table.add_row(*(shown if several else shown[1:]), _short(row["tokens"]), _short(row["parameters"]))
    for column in table.columns[: len(names)]:
        keep(column, NAME_WIDTH)
    table.caption = "tokens: trained on in all stages;\nparam.: of the adapters, the frozen one beside NAT included"
    return Fitted(table)


def _short(value: float | None) -> str:
    return "–" if value is None else short(value) if value else "0"


def overlap_table(rows: Sequence[Row], a: str, b: str) -> Fitted:
    """Build the table of the problems that two models solve, by group."""
    first = rows[0]
    title = f"{first['benchmark']}: problems solved by A {a}, B {b} ({first['rule'] or 'greedy'})"
    table = new_table(title, first["by"] or "", "n", "A", "B", "both", "either", "IoU", "p", left=1)
    never_break_numbers(table, 1)
    for row in rows:
        if row["group"] is None and len(rows) > 1:
            table.add_section()
        iou = "–" if row["iou"] is None else f"{row['iou']:.3f}"
        counts = (str(row[name]) for name in ("n", "a", "b", "both", "either"))
        table.add_row(_name(row["group"]), *counts, iou, p_value(row["p"]))
    keep(table.columns[0], NAME_WIDTH)
    table.caption = "IoU: both ÷ either; p: McNemar, exact, that A and B are equally accurate"
    return Fitted(table)


def weights_report(result: Row) -> Iterator[Fitted]:
    """Build the tables of an ablation of weights; see evaluation.comparison.compare_weights."""
    for key in dict.fromkeys((row["benchmark"], row["run"], row["model"]) for row in result["weights"]):
        benchmark, run, model = key
        mine = [
            [row for row in result[name] if (row["benchmark"], row["run"], row["model"]) == key]
            for name in ("weights", "ranking")
        ]
        title = f"{benchmark}, {run}:{model}"
        yield weights_table(title, mine[0])
        yield ranking_table(title, mine[1])
    yield size_table(result["models"])


def weights_table(title: str, rows: Sequence[Row]) -> Fitted:
    """Build the table of scores, weights and rules, each compared with counting chains."""
    n, k = rows[0]["n"], rows[0]["samples"]
    forms = [_weights_form(f"{title}: votes over {k} chains of {n} problems", rows, full) for full in (True, False)]
    return Fitted(*forms)


def _weights_form(title: str, rows: Sequence[Row], full: bool) -> Table:
    """Build one form of the table; without `full`, intervals are omitted."""
    heads = ["right", *(["interval"] if full else []), "− sc", *(["− sc, 95 %"] if full else []), "won : lost", "p"]
    table = new_table(title, "score", "weight", "by", *heads, left=3)
    never_break_numbers(table, 2)
    before = None
    for row in rows:
        if before is not None and row["score"] != before:
            table.add_section()
        before = row["score"]
        paired = row["difference"] is not None
        difference = f"{100 * row['difference']:+.1f}" if paired else ""
        limits = [f"{100 * low:+.1f} … {100 * high:+.1f}" for low, high in [row["difference_ci95"]]] if paired else [""]
        table.add_row(
            row["score"],
            row["weights"],
            row["rule"],
            f"{100 * row['accuracy']:.1f}",
            *([in_percent(*row["ci95"])] if full else []),
            difference,
            *(limits if full else []),
            f"{row['won']} : {row['lost']}" if paired else "",
            p_value(row["p"]) if paired else "",
        )
    for column in table.columns[:2]:
        keep(column, NAME_WIDTH)
    notes = [
        "in %; − sc: difference to sc on the same chains; won : lost: problems that only it, or only sc, has right"
    ]
    notes += ["p: McNemar, exact; " + ("intervals: 95 %" if full else "intervals are omitted here, see --json")]
    notes += ["any: at least one chain is right, an upper bound"]
    table.caption = ";\n".join(notes)
    return table


def ranking_table(title: str, rows: Sequence[Row]) -> Fitted:
    """Build the table of how well each score ranks right chains above wrong ones of the same problem."""
    table = new_table(f"{title}: how well the scores rank", "score", "pairs", "ranked rightly", "interval", "AUC")
    never_break_numbers(table, 1)
    for row in rows:
        found = row["pair_accuracy"]
        low, high = found["low"], found["high"]
        table.add_row(
            row["score"],
            str(found["pairs"]),
            "–" if found["value"] is None else percent(found["value"]),
            "–" if low is None or high is None else in_percent(low, high),
            "–" if row["auc"] is None else f"{row['auc']:.3f}",
        )
    keep(table.columns[0], NAME_WIDTH)
    table.caption = "pairs: of a right and a wrong chain of one problem; 50 % is chance"
    return Fitted(table)
