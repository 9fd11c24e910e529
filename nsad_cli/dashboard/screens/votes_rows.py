"""Rows and status text of the votes screen, and its CSV tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from nsad_cli.dashboard.export import ExportTable
from nsad_cli.dashboard.screens.votes_drawing import answer_of
from nsad_cli.dashboard.widgets.row_list import Cell, Column
from nsad_cli.utils.terminal_text import escape_controls
from nsad_cli.voting.bar_chart import one_line, verdict_mark

if TYPE_CHECKING:
    from nsad_cli.dashboard.screens.votes_state import OpenProblem, ProblemList
    from nsad_cli.types import Problem
    from nsad_cli.voting.problem_filters import ProblemResult, Winner

CHAIN_COLUMNS = (
    Column("  #", 5),
    Column("answer"),
    Column("weight", 7, number=True, drop=1),
    Column("log p", 6, number=True, drop=2),
    Column("p", 4, number=True, drop=4),
    Column("tokens", 6, number=True, drop=3),
)
BECAME = {"fixed": "✗→✓", "broke": "✓→✗", "both-right": "✓ ✓", "both-wrong": "✗ ✗", "unknown": "· ·"}
ALL_RULES_WIDTH = 76
"""Minimum width in cells to show a column for every rule."""
RowRenderer = Callable[[int], list[Cell]]
"""Returns the cells of the row with an index."""


def problem_rows(problem_list: ProblemList, width: int, colours: dict[str, str]) -> tuple[list[Column], RowRenderer]:
    """Return the columns of the list of problems, and its row renderer."""
    return _compared(problem_list, colours) if problem_list.other else _voted(problem_list, width, colours)


def _compared(problem_list: ProblemList, colours: dict[str, str]) -> tuple[list[Column], RowRenderer]:
    columns = [Column("problem"), Column("gold", 8, drop=1), Column("here", 10), Column("there", 10), Column("", 3)]

    def row(index: int) -> list[Cell]:
        problem = problem_list.rows[index]
        sides = [_decided(found, problem_list.rule, colours) for found in problem_list.pairs[problem.id]]
        return [_question(problem), one_line(problem.answer), *sides, BECAME[problem_list.transition(problem.id)]]

    return columns, row


def _voted(problem_list: ProblemList, width: int, colours: dict[str, str]) -> tuple[list[Column], RowRenderer]:
    names = problem_list.rules if width >= ALL_RULES_WIDTH else [problem_list.rule]
    columns = [
        Column("#", 5, number=True, drop=4),
        Column("problem"),
        Column("gold", 8, drop=3),
        *(Column(name, 10) for name in names),
        Column("margin", 6, number=True, drop=2),
    ]

    def row(index: int) -> list[Cell]:
        problem = problem_list.rows[index]
        decided = problem_list.winner(problem.id)
        if problem.id in problem_list.results:
            cells: list[Cell] = [_won(problem_list.winner(problem.id, name), colours) for name in names]
            cells[names.index(problem_list.rule)] = _decided(
                problem_list.results[problem.id], problem_list.rule, colours
            )
        else:
            cells = [Text("…", colours["dim"])] * len(names)
        margin = "" if decided is None or decided.margin is None else f"{decided.margin:.0%}"
        return [str(problem_list.numbers[problem.id]), _question(problem), one_line(problem.answer), *cells, margin]

    return columns, row


def _question(problem: Problem) -> str:
    return one_line(problem.question[:400])


def _decided(found: ProblemResult, rule: str, colours: dict[str, str]) -> Cell:
    """Return the winner by the deciding rule; marked `sc` if that rule is not available and `sc` replaces it."""
    return _won(found.winner_by(rule), colours, "" if rule in found.winners else "sc ")


def _won(won: Winner | None, colours: dict[str, str], prefix: str = "") -> Cell:
    if won is None:
        return Text("–", colours["dim"])
    answer = "none" if won.answer is None else one_line(won.answer)
    return Text(f"{prefix}{verdict_mark(won.right)} {answer}", judged(won.right, colours))


def judged(right: bool | None, colours: dict[str, str]) -> str:
    """Return the colour of right, wrong or unknown."""
    return colours["text"] if right is None else colours["right"] if right else colours["wrong"]


def chain_rows(open_problem: OpenProblem, rule: str, colours: dict[str, str]) -> RowRenderer:
    """Return the row renderer of the chains; ▸ marks chains that vote for the winner, ⊘ excluded ones."""
    result, included = open_problem.rule_result(rule), open_problem.included
    weights = result.weights if result else {}
    winning = set(result.ballot.votes[0].chains) if result and result.ballot.votes else set()

    def row(index: int) -> list[Cell]:
        chain = open_problem.chains[index]
        included_here, mean, weight = chain.index in included, chain.logprob, weights.get(chain.index)
        glyph = "▸" if chain.index in winning else " " if included_here else "⊘"
        style = judged(chain.correct, colours) if included_here else f"strike {colours['dim']}"
        return [
            Text(f"{glyph} {chain.index:>2}", "bold" if glyph == "▸" else ""),
            Text(f"{verdict_mark(chain.correct)} {answer_of(chain)}", style),
            "–" if weight is None else f"{weight:.3g}" if abs(weight) < 1000 else f"{weight:.0e}",
            "–" if mean is None else f"{mean:.2f}",
            "–" if mean is None else f"{math.exp(min(mean, 0.0)):.2f}",
            str(len(chain.logprobs) or "–"),
        ]

    return row


def status_text(
    problem_list: ProblemList, open_problem: OpenProblem, reading: bool, searching: bool, colours: dict[str, str]
) -> Text:
    """Return the status line, followed by lines about the comparison and the counterfactual if they are active."""
    text = Text(no_wrap=True, overflow="ellipsis")
    if reading and len(problem_list.results) < len(problem_list.problems):
        text.append(f"reading {len(problem_list.results):,} of {len(problem_list.problems):,} · ", colours["dim"])
    text.append(f"{problem_list.filter}: {len(problem_list.rows):,}", "bold")
    text.append(f" ({problem_list.filter_description})" if problem_list.filter != "all" else "")
    text.append(f" · {problem_list.rule} decides")
    if problem_list.search:
        found = "…" if searching else f"{len(problem_list.hits):,}"
        text.append(f" · “{escape_controls(problem_list.search)}” in {found}", f"bold {colours['accent']}")
    if problem_list.chosen:
        scored = f" · {one_line(problem_list.ranker)}" if problem_list.ranker else " · no ranker"
        text.append(f" · {one_line(problem_list.chosen.title)}{scored}", colours["dim"])
    if problem_list.other:
        counts = ", ".join(
            f"{name} {problem_list.counts[name]:,}" for name in ("fixed", "broke", "both-right", "both-wrong")
        )
        here, there = problem_list.replaced_rules()
        replaced_rules = f"sc replaces {problem_list.rule}: {here:,} here, {there:,} there" if here or there else ""
        parts = [
            f"compared: {counts}",
            problem_list.compared_text() or "reading",
            replaced_rules,
            one_line(problem_list.other.title),
            "c: end",
        ]
        text.append("\n" + " · ".join(filter(None, parts)), f"bold {colours['accent']}")
    if assumed := open_problem.assumptions():
        changed = open_problem.changed()
        result = f"◂ winner changes: {', '.join(changed)}" if changed else "winners unchanged"
        text.append(f"\nwhat if {', '.join(assumed)}: {result} · r: reset", f"bold {colours['warning']}")
    return text


def chain_data(open_problem: OpenProblem, rule: str) -> ExportTable:
    """Return the open problem's chains as a table."""
    result, included = open_problem.rule_result(rule), open_problem.included
    weights = result.weights if result else {}
    columns = ("problem", "chain", "answer", "class", "right", "weight", "logprob", "tokens", "left_in", "text")
    rows: list[Sequence[object]] = [
        (
            chain.problem_id,
            chain.index,
            chain.answer,
            chain.answer_class,
            chain.correct,
            weights.get(chain.index),
            chain.logprob,
            len(chain.logprobs),
            chain.index in included,
            chain.text,
        )
        for chain in open_problem.chains
    ]
    return ExportTable(columns, rows)


def problem_data(problem_list: ProblemList) -> ExportTable:
    """Return the list's problems with each rule's winner; in a comparison, both sides' winners and the transition."""
    columns = ["problem", "question", "gold"]
    if problem_list.other:
        columns += [f"{side}_{what}" for side in ("here", "there") for what in ("chains", "rule", "answer", "right")]
        return ExportTable(
            [*columns, "became", "here", "there"], [_pair_data(problem_list, problem) for problem in problem_list.rows]
        )
    columns += ["chains", *(f"{rule}_{what}" for rule in problem_list.rules for what in ("answer", "right", "margin"))]
    return ExportTable(columns, [_problem_data(problem_list, problem) for problem in problem_list.rows])


def _problem_data(problem_list: ProblemList, problem: Problem) -> list[object]:
    found = problem_list.results.get(problem.id)
    row: list[object] = [problem.id, problem.question, problem.answer, found.chains if found else None]
    for rule in problem_list.rules:
        won = problem_list.winner(problem.id, rule)
        row += [won.answer, won.right, won.margin] if won else [None] * 3
    return row


def _pair_data(problem_list: ProblemList, problem: Problem) -> list[object]:
    row: list[object] = [problem.id, problem.question, problem.answer]
    for found in problem_list.pairs[problem.id]:
        won = found.winner_by(problem_list.rule)
        rule = problem_list.rule if problem_list.rule in found.winners else "sc"
        row += [found.chains, *((rule, won.answer, won.right) if won else [None] * 3)]
    sides = [side.title if side else None for side in (problem_list.this_side, problem_list.other)]
    return [*row, problem_list.transition(problem.id), *sides]
