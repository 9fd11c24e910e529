"""Rendering of one problem for the votes screen: bar charts of the votes, and a chain's text by steps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nsad_cli.grading.marked_steps import CLOSE as STEP_CLOSE
from nsad_cli.grading.marked_steps import OPEN as STEP_OPEN
from nsad_cli.grading.marked_steps import checked_steps, marked_parts, steps_line
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
    """Render a chain by steps, each with the mean probability of its tokens; the first wrong equality is marked.

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
        text = _rendered(chain, step, tints) if latex else _marked(chain, step, tints)
        if search:
            text.highlight_regex(re.compile(re.escape(escape_controls(search)), re.IGNORECASE), "reverse")
        grid.add_row("" if step.probability is None else f"{step.probability:.2f}", text)
    low = sum(token.probability < LOW for step in chain_steps(chain) for token in step.tokens)
    marked = f"{low} token{'s' if low > 1 else ''} {OPEN}below {LOW:.0%}{CLOSE}" if low else f"no token below {LOW:.0%}"
    known = marked if chain.logprobs else "no token probabilities"
    cut = "" if chain.finish is Finish.STOP else " · truncated" if chain.finish is Finish.LENGTH else " · filtered"
    head = f"chain {chain.index} · {verdict_mark(chain.correct)} {answer_of(chain)}{cut} · {known}"
    wrong = checked_steps(chain.text).first_wrong is not None
    about = Text(steps_line(chain.text), tints["wrong" if wrong else "dim"])
    return Group(Text(head, f"bold {tints['primary']}"), *([about] if about else []), grid)


def answer_of(chain: Chain) -> str:
    """Return a chain's answer in one line."""
    return "no answer" if chain.answer is None else one_line(chain.answer)


def _wrong_place(chain: Chain, step: Step) -> tuple[int, int] | None:
    """Return the part of a step in which the chain's first wrong equality is, as offsets into the chain."""
    first = checked_steps(chain.text).first_wrong
    if first is None:
        return None
    start, end = max(first[0], step.start), min(first[1], step.end)
    return (start, end) if start < end else None


def _rendered(chain: Chain, step: Step, tints: dict[str, str]) -> Text:
    """Return a step with formulas rendered and a wrong equality marked."""
    place = _wrong_place(chain, step)
    inside = None if place is None else (place[0] - step.start, place[1] - step.start)
    parts = marked_parts(chain.text[step.start : step.end], inside, lambda text: escape_controls(render_latex(text)))
    return Text.assemble(*((text, f"bold {tints['wrong']}" if wrong else "") for text, wrong in parts))


def _marked(chain: Chain, step: Step, tints: dict[str, str]) -> Text:
    """Return a step's source text with unlikely tokens and a wrong equality marked, without surrounding white space."""
    marks: list[tuple[int, int, str]] = []  # in the order of places; at one place, the inner ones close first
    place = step.start
    for token in step.tokens:
        start, end = max(token.start, step.start, place), min(token.end, step.end)
        piece = chain.text[start:end]
        if token.probability >= LOW or not piece.strip():
            continue
        start += len(piece) - len(piece.lstrip())
        place = start + len(piece.strip())
        marks += [(start, 3, OPEN), (place, 0, CLOSE)]
    if wrong := _wrong_place(chain, step):
        marks += [(wrong[0], 2, STEP_OPEN), (wrong[1], 1, STEP_CLOSE)]
    text, inside, place = Text(), set[str](), step.start
    for end, _, mark in sorted(marks):
        text.append(escape_controls(chain.text[place:end]), _style(inside, tints))
        inside |= {mark} & {OPEN, STEP_OPEN}
        text.append(mark, _style(inside, tints))
        inside -= {OPEN} if mark == CLOSE else {STEP_OPEN} if mark == STEP_CLOSE else set()
        place = end
    text.append(escape_controls(chain.text[place : step.end]))
    text.rstrip()
    return text


def _style(inside: set[str], tints: dict[str, str]) -> str:
    """Return the style of text inside the marks of an unlikely token, of a wrong equality, or of both."""
    styles = (["underline"] if OPEN in inside else []) + (["bold"] if STEP_OPEN in inside else [])
    return " ".join([*styles, tints["wrong" if STEP_OPEN in inside else "warning"]]) if inside else ""
