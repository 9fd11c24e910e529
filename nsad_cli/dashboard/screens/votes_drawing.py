"""Rendering of one problem for the votes screen: bar charts of the votes, and a chain's text by steps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nsad_cli.types import Chain, Finish
from nsad_cli.utils.terminal_text import escape_controls, render_latex
from nsad_cli.voting.bar_chart import Line, chart_lines, one_line, verdict_mark, visible_rules
from nsad_cli.voting.chain_steps import Step, chain_steps
from nsad_cli.voting.rule_results import rule_results
from nsad_cli.voting.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.dashboard.screens.votes_state import OpenProblem, ProblemList

ALL_RULES = 86
"""Minimum width in cells to show the bars of every rule."""
MAX_ANSWERS = 40
LOW = 0.2
"""Tokens with a lower probability are marked."""
OPEN, CLOSE = "‹", "›"


def bars(
    open_problem: OpenProblem, problem_list: ProblemList, width: int, lines: int, tints: dict[str, str]
) -> RenderableType:
    """Render the question (at most `lines` lines), the gold answer, each rule's bars, and those of the other side."""
    if open_problem.problem is None:
        return ""
    wanted = RULES if width >= ALL_RULES else problem_list.rules
    found = visible_rules({rule: open_problem.found[rule] for rule in wanted}, width, problem_list.rule)
    question, room = one_line(open_problem.problem.question), (width - 8) * lines
    gold = one_line(open_problem.problem.answer)
    parts: list[RenderableType] = [
        Text(question if len(question) <= room else question[: room - 1] + "…", tints["text"]),
        Text(f"gold answer: {gold}" if gold else "no gold answer", "bold"),
        styled_text(
            chart_lines(found, width, first=problem_list.rule, before=open_problem.original_winners, most=MAX_ANSWERS),
            tints,
        ),
    ]
    if problem_list.other:
        there = visible_rules(rule_results(open_problem.other_chains, wanted), width, problem_list.rule)
        parts.append(Text(f"there: {one_line(problem_list.other.title)}", f"bold {tints['accent']}"))
        parts.append(styled_text(chart_lines(there, width, first=problem_list.rule, most=MAX_ANSWERS), tints))
    return Group(*parts)


def styled_text(lines: Sequence[Line], tints: dict[str, str]) -> Text:
    """Return chart lines in the theme's colours."""
    styles = {
        "head": "bold",
        "winner": f"bold {tints['primary']}",
        "right": tints["right"],
        "wrong": tints["wrong"],
        "changed": f"bold {tints['warning']}",
        "dim": tints["dim"],
    }
    text = Text(no_wrap=True, overflow="crop")
    for number, line in enumerate(lines):
        text.append("\n" if number else "")
        for part, meaning in line:
            text.append(part, styles.get(meaning, ""))
    return text


def chain_text(chain: Chain, tints: dict[str, str], search: str, latex: bool) -> RenderableType:
    """Render a chain by steps, each with the mean probability of its tokens.

    Args:
        chain: The chain.
        tints: Colours by meaning; see `themes.tints`.
        search: Text to highlight; may be empty.
        latex: Render formulas; tokens below LOW are marked only if it is false, as their offsets refer to the source.
    """
    grid = Table.grid(padding=(0, 1, 0, 0), expand=True)
    grid.add_column(width=4, style=tints["dim"])
    grid.add_column(ratio=1, overflow="fold")
    for step in chain_steps(chain):
        text = (
            Text(escape_controls(render_latex(chain.text[step.start : step.end])))
            if latex
            else _marked(chain, step, tints)
        )
        if search:
            text.highlight_regex(re.compile(re.escape(escape_controls(search)), re.IGNORECASE), "reverse")
        grid.add_row("" if step.probability is None else f"{step.probability:.2f}", text)
    low = sum(token.probability < LOW for step in chain_steps(chain) for token in step.tokens)
    marked = f"{low} token{'s' if low > 1 else ''} {OPEN}below {LOW:.0%}{CLOSE}" if low else f"no token below {LOW:.0%}"
    known = marked if chain.logprobs else "no token probabilities"
    cut = "" if chain.finish is Finish.STOP else " · truncated" if chain.finish is Finish.LENGTH else " · filtered"
    head = f"chain {chain.index} · {verdict_mark(chain.correct)} {answer_of(chain)}{cut} · {known}"
    return Group(Text(head, f"bold {tints['primary']}"), grid)


def answer_of(chain: Chain) -> str:
    """Return a chain's answer in one line."""
    return "no answer" if chain.answer is None else one_line(chain.answer)


def _marked(chain: Chain, step: Step, tints: dict[str, str]) -> Text:
    """Return a step's source text with unlikely tokens marked, without their surrounding white space."""
    text, place = Text(), step.start
    for token in step.tokens:
        start, end = max(token.start, step.start, place), min(token.end, step.end)
        piece = chain.text[start:end]
        if token.probability >= LOW or not piece.strip():
            continue
        start += len(piece) - len(piece.lstrip())
        piece = piece.strip()
        text.append(escape_controls(chain.text[place:start]))
        text.append(f"{OPEN}{escape_controls(piece)}{CLOSE}", f"underline {tints['warning']}")
        place = start + len(piece)
    text.append(escape_controls(chain.text[place : step.end]))
    text.rstrip()
    return text
