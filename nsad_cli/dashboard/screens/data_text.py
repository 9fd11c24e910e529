"""Text of the data screen: problems, samples, verdicts, and their totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nsad_cli.grading.marked_steps import checked_steps, marked_parts, steps_line
from nsad_cli.store.pages import UNGRADED, DrawRow, ProblemQuery
from nsad_cli.store.tables import SKIPPED
from nsad_cli.types import Problem, Verdict
from nsad_cli.utils.terminal_text import RIGHT, UNKNOWN, WRONG, escape_controls, render_latex

Tints = Mapping[str, str]
VERDICT_STYLES = {
    Verdict.CORRECT.value: (RIGHT, "right", "right"),
    Verdict.WRONG.value: (WRONG, "wrong", "wrong"),
    Verdict.DISPUTED.value: ("?", "disputed", "warning"),
    UNGRADED: (UNKNOWN, "ungraded", "dim"),
}
"""Mark, label and colour name of each verdict; other verdicts are neither right nor wrong."""


def verdict_label(verdict: str) -> str:
    """Return a verdict's label."""
    return VERDICT_STYLES[verdict][1] if verdict in VERDICT_STYLES else verdict.replace("_", " ")


def verdict_text(verdict: str, tints: Tints) -> Text:
    """Return a verdict's label with its mark, in its colour."""
    mark, name, tint = VERDICT_STYLES.get(verdict, ("–", verdict_label(verdict), "dim"))
    return Text(f"{mark} {name}", tints[tint])


def display_text(text: str, *, raw: bool = False) -> str:
    """Escape control characters in a text and render its LaTeX, unless `raw`."""
    text = text.replace("\r\n", "\n")
    return escape_controls(text if raw else render_latex(text)).strip("\n")


def single_line(text: str, *, raw: bool = False) -> str:
    """Return a text as `display_text` does, joined to a single line."""
    return " ".join(display_text(text, raw=raw).split())


def review_label(sample: DrawRow) -> str:
    """Return the label of a sample's manual verdict; empty if it was not reviewed."""
    return (
        "" if sample.reviewed is None else "skipped" if sample.reviewed == SKIPPED else verdict_label(sample.reviewed)
    )


def field_table(rows: Iterable[tuple[str, str | Text]], tints: Tints) -> Table:
    """Build a table of labels and values; rows with an empty value are omitted."""
    table = Table.grid(padding=(0, 2), pad_edge=False)
    table.add_column(style=tints["dim"], no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in rows:
        if value:
            table.add_row(label, value if isinstance(value, Text) else Text(value))
    return table


def problem_details(problem: Problem, sample: DrawRow | None, text: str, tints: Tints) -> Group:
    """Render the full text of a problem and, if given, one of its samples."""
    rows: list[tuple[str, str | Text]] = [("gold", Text(single_line(problem.answer), "bold"))]
    parts: list[RenderableType] = []
    place = [problem.benchmark, problem.split, problem.subject, problem.level]
    if sample is not None:
        verdict = verdict_text(sample.graded or UNGRADED, tints)
        verdict.append(f" ({single_line(sample.reason)})" if sample.reason else "", tints["text"])
        rows += [("parsed", single_line(sample.answer or "–")), ("grader", verdict), ("by hand", review_label(sample))]
        parts += [*rationale_parts(text, tints), ""]
        place.insert(0, f"sample {sample.number + 1} of {sample.teacher}, finish: {sample.finish}")
    if problem.solution:
        parts += [Text("the benchmark's solution", tints["dim"]), Text(display_text(problem.solution)), ""]
    parts.append(Text(" · ".join(single_line(part) for part in place if part), tints["dim"]))
    return Group(Text(display_text(problem.question), "bold"), "", field_table(rows, tints), "", *parts)


def rationale_parts(text: str, tints: Tints, *, raw: bool = False) -> list[Text]:
    """Render a rationale with its first wrong step marked, preceded by a line about its checked steps, if any."""
    first = checked_steps(text).first_wrong
    parts = marked_parts(text, first, lambda text: display_text(text, raw=raw))
    shown = Text.assemble(*((part, f"bold {tints['wrong']}" if wrong else "") for part, wrong in parts))
    line = steps_line(text)
    return [*([Text(line, tints["dim" if first is None else "wrong"])] if line else []), shown]


@dataclass(frozen=True, slots=True)
class VerdictTotal:
    """Samples counted by verdict, for a teacher's subject, a teacher (subject None), or all (teacher None too)."""

    teacher: str | None
    subject: str | None
    verdicts: Counter[str]

    @property
    def numbers(self) -> list[int]:
        """Numbers of samples: all, right, wrong, disputed, ungraded, other."""
        counts = [self.verdicts[name] for name in ("correct", "wrong", "disputed", UNGRADED)]
        return [self.verdicts.total(), *counts, self.verdicts.total() - sum(counts)]


LedgerRows = Sequence[tuple[str, str, str, int]]
"""Rows (teacher, subject, verdict, number of samples) of the ledger; see Store.ledger."""


def overall_total(ledger: LedgerRows) -> VerdictTotal:
    """Return the total over all rows of a ledger."""
    verdicts: Counter[str] = Counter()
    for *_, verdict, number in ledger:
        verdicts[verdict] += number
    return VerdictTotal(None, None, verdicts)


def compute_totals(ledger: LedgerRows) -> list[VerdictTotal]:
    """Return the totals of each teacher and its subjects; with several teachers, preceded by the overall total."""
    teachers = list(dict.fromkeys(row[0] for row in ledger))
    found = [overall_total(ledger)] if len(teachers) > 1 else []
    for teacher in teachers:
        mine = [row for row in ledger if row[0] == teacher]
        found.append(VerdictTotal(teacher, None, overall_total(mine).verdicts))
        subjects = list(dict.fromkeys(row[1] for row in mine))
        found.extend(
            VerdictTotal(teacher, subject, overall_total([row for row in mine if row[1] == subject]).verdicts)
            for subject in (subjects if any(subjects) else ())
        )
    return found


def summary_parts(filters: ProblemQuery, problems: int, ledger: LedgerRows | None, other_samples: int) -> list[str]:
    """Return the parts of the summary line: the number of problems, and the numbers of samples by verdict.

    Args:
        filters: The filters.
        problems: Number of problems that match.
        ledger: The counts of samples, if known.
        other_samples: Number of samples that are not shown because they have other parameters.
    """
    limits = [f"“{filters.words}”"] if filters.words else []
    limits += [f"with {verdict_label(filters.verdict)}"] if filters.verdict else []
    limits += [single_line(filters.subject) or "no subject"] if filters.subject is not None else []
    limited = f" ({', '.join(limits)}; esc: all)" if limits else ""
    parts = [f"{problems:,} problem{'' if problems == 1 else 's'}{limited}"]
    if ledger is not None:
        samples, right, wrong, disputed, ungraded, _ = overall_total(ledger).numbers
        parts += [f"{samples:,} samples", f"{RIGHT} D+ {right:,}", f"{WRONG} D− {wrong:,}"]
        parts += [f"? {disputed:,} disputed"] if disputed else []
        parts += [f"{ungraded:,} ungraded"] if ungraded else []
        parts += [f"{other_samples:,} with other parameters not shown"] if other_samples else []
    return parts


def missing_step(ledger: LedgerRows | None, run_name: str | None) -> str:
    """Return the command to run if there are no samples, or none is graded; empty otherwise."""
    if ledger is None:
        return ""
    samples, *_, ungraded, _ = overall_total(ledger).numbers
    if not samples:
        return f"No samples yet: run `nsad collect --run {run_name}`."
    return f"No samples are graded yet: run `nsad grade --run {run_name}`." if samples == ungraded else ""
