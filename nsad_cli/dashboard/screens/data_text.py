"""Problems, draws and verdicts in words, marks and colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nsad_cli.store.pages import UNGRADED, DrawRow, ProblemQuery
from nsad_cli.store.tables import SKIPPED
from nsad_cli.types import Problem, Verdict
from nsad_cli.utils.terminal_text import RIGHT, UNKNOWN, WRONG, escape_controls, render_latex

Tints = Mapping[str, str]
MARKS = {
    Verdict.CORRECT.value: (RIGHT, "right", "right"),
    Verdict.WRONG.value: (WRONG, "wrong", "wrong"),
    Verdict.DISPUTED.value: ("?", "disputed", "warning"),
    UNGRADED: (UNKNOWN, "ungraded", "dim"),
}
"""A verdict's mark, its word, and the meaning of its colour; other verdicts are neither right nor wrong."""


def word(verdict: str) -> str:
    """A verdict in a word or two."""
    return MARKS[verdict][1] if verdict in MARKS else verdict.replace("_", " ")


def marked(verdict: str, tints: Tints) -> Text:
    """A verdict with its mark and colour."""
    mark, name, tint = MARKS.get(verdict, ("–", word(verdict), "dim"))
    return Text(f"{mark} {name}", tints[tint])


def lines(text: str, *, raw: bool = False) -> str:
    """A text of any kind as a person reads it; raw: its LaTeX as it was written."""
    text = text.replace("\r\n", "\n")
    return escape_controls(text if raw else render_latex(text)).strip("\n")


def line(text: str, *, raw: bool = False) -> str:
    """A text of any kind in one harmless line."""
    return " ".join(lines(text, raw=raw).split())


def by_hand(draw: DrawRow) -> str:
    """What a person said of a draw, in a word or two; empty where nobody has seen it."""
    return "" if draw.reviewed is None else "skipped" if draw.reviewed == SKIPPED else word(draw.reviewed)


def facts(rows: Iterable[tuple[str, str | Text]], tints: Tints) -> Table:
    """Labels and what they say, a row each; those without anything to say are left out."""
    table = Table.grid(padding=(0, 2), pad_edge=False)
    table.add_column(style=tints["dim"], no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in rows:
        if value:
            table.add_row(label, value if isinstance(value, Text) else Text(value))
    return table


def about(problem: Problem, draw: DrawRow | None, text: str, tints: Tints) -> Group:
    """A problem, and one of its draws, in full."""
    rows: list[tuple[str, str | Text]] = [("gold", Text(line(problem.answer), "bold"))]
    parts: list[RenderableType] = []
    place = [problem.benchmark, problem.split, problem.subject, problem.level]
    if draw is not None:
        verdict = marked(draw.graded or UNGRADED, tints)
        verdict.append(f" ({line(draw.reason)})" if draw.reason else "", tints["text"])
        rows += [("read", line(draw.answer or "–")), ("grader", verdict), ("by hand", by_hand(draw))]
        parts += [Text(lines(text)), ""]
        place.insert(0, f"draw {draw.number + 1} of {draw.teacher}, ended by {draw.finish}")
    if problem.solution:
        parts += [Text("the benchmark's own solution", tints["dim"]), Text(lines(problem.solution)), ""]
    parts.append(Text(" · ".join(line(part) for part in place if part), tints["dim"]))
    return Group(Text(lines(problem.question), "bold"), "", facts(rows, tints), "", *parts)


@dataclass(frozen=True, slots=True)
class Total:
    """Draws counted by verdict: of a teacher's subject, of a teacher (subject None), or of all (teacher None too)."""

    teacher: str | None
    subject: str | None
    verdicts: Counter[str]

    @property
    def numbers(self) -> list[int]:
        """Draws, right, wrong, disputed, ungraded, other."""
        told = [self.verdicts[name] for name in ("correct", "wrong", "disputed", UNGRADED)]
        return [self.verdicts.total(), *told, self.verdicts.total() - sum(told)]


Ledger = Sequence[tuple[str, str, str, int]]
"""Draws counted by (teacher, subject, verdict); see Store.ledger."""


def whole(ledger: Ledger) -> Total:
    """All draws of a ledger."""
    verdicts: Counter[str] = Counter()
    for *_, verdict, number in ledger:
        verdicts[verdict] += number
    return Total(None, None, verdicts)


def totals(ledger: Ledger) -> list[Total]:
    """A ledger's draws by teacher, each before its subjects; all before them, where there are several."""
    teachers = list(dict.fromkeys(row[0] for row in ledger))
    found = [whole(ledger)] if len(teachers) > 1 else []
    for teacher in teachers:
        mine = [row for row in ledger if row[0] == teacher]
        found.append(Total(teacher, None, whole(mine).verdicts))
        subjects = list(dict.fromkeys(row[1] for row in mine))
        for subject in subjects if any(subjects) else ():
            found.append(Total(teacher, subject, whole([row for row in mine if row[1] == subject]).verdicts))
    return found


def head_parts(wanted: ProblemQuery, problems: int, ledger: Ledger | None, other_draws: int) -> list[str]:
    """The line above the problems: how many there are, and how many draws by verdict.

    Args:
        wanted: How the problems are restricted.
        problems: How many were found.
        ledger: The counts of draws, if they are known.
        other_draws: Draws that are not shown, because they were made with other parameters.
    """
    limits = [f"“{wanted.words}”"] if wanted.words else []
    limits += [f"with {word(wanted.verdict)}"] if wanted.verdict else []
    limits += [line(wanted.subject) or "no subject"] if wanted.subject is not None else []
    limited = f" ({', '.join(limits)}; esc: all)" if limits else ""
    parts = [f"{problems:,} problem{'' if problems == 1 else 's'}{limited}"]
    if ledger is not None:
        draws, right, wrong, disputed, ungraded, _ = whole(ledger).numbers
        parts += [f"{draws:,} draws", f"{RIGHT} D+ {right:,}", f"{WRONG} D− {wrong:,}"]
        parts += [f"? {disputed:,} disputed"] if disputed else []
        parts += [f"{ungraded:,} ungraded"] if ungraded else []
        parts += [f"{other_draws:,} made otherwise are not shown"] if other_draws else []
    return parts


def missing_step(ledger: Ledger | None, run_name: str | None) -> str:
    """The command to run if there are no draws, or none is graded; empty otherwise."""
    if ledger is None:
        return ""
    draws, *_, ungraded, _ = whole(ledger).numbers
    if not draws:
        return f"No draws yet: `nsad collect --run {run_name}` asks the teacher."
    return f"Nothing is graded yet: `nsad grade --run {run_name}` does it." if draws == ungraded else ""
