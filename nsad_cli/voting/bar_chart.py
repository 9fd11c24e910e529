"""A bar chart of votes as styled lines of text: one row for each answer, one column for each rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from nsad_cli.errors import UsageError
from nsad_cli.utils.terminal_text import RIGHT, UNKNOWN, WRONG, escape_controls, render_latex
from nsad_cli.voting.rule_results import NO_FLIP, ONLY_ONE_ANSWER, RuleResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nsad_cli.types import Chain

Line = list[tuple[str, str]]
"""(text, style) pairs; the styles are head, winner, right, wrong, dim, changed and the empty string."""
MIN_LABEL_WIDTH = 9
"""The minimum width of the answers' column, in cells."""
MIN_COLUMN_WIDTH = 10
"""The minimum width of a rule's column: a mark, a bar of three cells, a share."""
SHORT_REASONS = {ONLY_ONE_ANSWER: "alone", NO_FLIP: "all"}
"""Abbreviations, for a table cell, of why no removal of chains changes the winner."""


def bar(share: float, width: int) -> str:
    """Draw a bar in eighths of a cell, padded to `width` cells; a positive share is always visible."""
    eighths = max(round(8 * width * share), 1 if share > 0 else 0)
    text = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
    return f"{text:<{width}}"


def one_line(text: str) -> str:
    """Convert model text to one line without control characters."""
    return " ".join(escape_controls(render_latex(text)).split())


def verdict_mark(right: bool | None) -> str:
    """Return the glyph for right, wrong or unknown."""
    return UNKNOWN if right is None else RIGHT if right else WRONG


def visible_rules(
    found: Mapping[str, RuleResult | UsageError], width: int, first: str
) -> dict[str, RuleResult | UsageError]:
    """Select the rules whose columns fit.

    Args:
        found: Each rule's result or error.
        width: The available width, in cells.
        first: The rule to keep in any case.

    Returns:
        The selected results, and all errors, which take no column.
    """
    held = [rule for rule, item in found.items() if isinstance(item, RuleResult)]
    room = max((width - MIN_LABEL_WIDTH) // MIN_COLUMN_WIDTH, 1)
    before = sorted(held, key=lambda rule: rule != first)[:room]
    return {rule: item for rule, item in found.items() if rule in before or rule not in held}


def chart_lines(
    found: Mapping[str, RuleResult | UsageError],
    width: int,
    *,
    first: str,
    before: Mapping[str, tuple[int | None, str]] | None = None,
    most: int | None = None,
) -> list[Line]:
    """Draw the answers' shares by rule, each rule's margin and minimal flip, and why rules could not be applied.

    Args:
        found: Each rule's result or error.
        width: The available width, in cells.
        first: The rule that orders the answers.
        before: Each rule's former winner (class, answer); a row marks those that have changed.
        most: The maximum number of answers.

    Returns:
        The lines, each a list of (text, style) pairs.
    """
    held = {rule: item for rule, item in found.items() if isinstance(item, RuleResult)}
    leading = held.get(first) or next(iter(held.values()), None)
    names = {} if leading is None else _answers_by_class(leading)
    longest = max((cell_len(name) for name in names.values()), default=0)
    label = max(MIN_LABEL_WIDTH, min(longest + 3, width - MIN_COLUMN_WIDTH * len(held), 26))
    cell = min(max((width - label) // max(len(held), 1), 1), 32)

    def row(title: str, meaning: str, text: Callable[[str], str]) -> Line:
        parts = [(set_cell_size(one_line(text(rule)), cell - 1) + " ", meaning) for rule in held]
        return [(f"{title:<{label}}", "dim"), *parts]

    lines = [row("", "head", lambda rule: f" {rule}")]
    for name in list(names)[:most]:
        judged = _right(leading.chains, name) if leading else None
        meaning = {True: "right", False: "wrong", None: ""}[judged]
        title = set_cell_size(f"{verdict_mark(judged)} {names[name]}", label - 1) + " "
        lines.append([(title, meaning), *(_cell(item, name, cell) for item in held.values())])
    if not names:
        lines.append([("no chain has an answer", "dim")])
    elif most is not None and len(names) > most:
        lines.append([(f"and {len(names) - most} more answers", "dim")])
    if names:
        lines.append(row("margin", "", lambda rule: f" {_margin(held[rule])}"))
        lines.append(row("rests on", "", lambda rule: f" {_rests_on(held[rule])}"))
    was = {rule: _was(held[rule], before.get(rule)) for rule in held} if before else {}
    if any(was.values()):
        lines.append(row("was", "changed", lambda rule: f"◂{was[rule]}" if was[rule] else ""))
    return lines + [[(text, "dim")] for text in _failure_lines(found)]


def _failure_lines(found: Mapping[str, RuleResult | UsageError]) -> list[str]:
    """Why rules could not be applied, one line for each reason."""
    reasons: dict[str, list[str]] = {}
    for rule, item in found.items():
        if isinstance(item, UsageError):
            what = item.what.removeprefix(f"rule `{rule}` ")
            reasons.setdefault(one_line(f"{what}: {item.why}"), []).append(rule)
    return [f"{', '.join(rules)} {reason}" for reason, rules in reasons.items()]


def _answers_by_class(item: RuleResult) -> dict[int, str]:
    """The answers by their class, the winner first."""
    return {name: one_line(vote.answer) for name, vote in zip(item.classes, item.ballot.votes, strict=True)}


def _right(chains: Sequence[Chain], name: int) -> bool | None:
    known = [chain.correct for chain in chains if chain.answer_class == name and chain.correct is not None]
    return any(known) if known else None


def _cell(item: RuleResult, name: int, width: int) -> tuple[str, str]:
    if name not in item.classes:
        return " " * width, ""
    place = item.classes.index(name)
    share = item.shares[place]
    text = f"{'▸' if place == 0 else ' '}{bar(share, max(width - 7, 0))}{share:>5.0%}"
    return set_cell_size(text, width), "winner" if place == 0 else ""


def _margin(item: RuleResult) -> str:
    return "–" if item.margin is None else f"{item.margin:.0%}"


def _rests_on(item: RuleResult) -> str:
    if isinstance(item.flip, str):
        return SHORT_REASONS.get(item.flip, "–")
    return f"{len(item.flip)} of {len(item.chains)}"


def _was(now: RuleResult, before: tuple[int | None, str] | None) -> str:
    """The former winner's answer if another one wins now, else empty."""
    if before is None or now.winner == before[0]:
        return ""
    return before[1] if before[0] is not None else "none"
