"""The sections of a study's report: arms against the control with intervals, accuracies, and the cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.report.charts import ForestPlot, ForestRow
from nsad_cli.report.document import Code, Document, Figure, Fold, Paragraph, Section, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nsad_cli.report.document import Block
    from nsad_cli.report.study import Arm, Study, Vote


def study_document(study: Study) -> Document:
    """Lay out a study's report."""
    commands = Section(
        "commands", "Commands that repeat these numbers", (Code(f"nsad study {study.name}\nnsad report {study.name}"),)
    )
    count = f"{len(study.arms)} arm{'s' * (len(study.arms) != 1)}"
    return Document(f"Study {study.name}", count, (*study_sections(study), commands))


def study_sections(study: Study) -> tuple[Section, ...]:
    """Lay out a study's sections."""
    sections = [Section("study", f"Study {study.name}: arms against the control", tuple(_arms(study)))]
    if any(arm.votes for arm in study.arms):
        sections.append(Section("votes", "Votes: each rule against counting", tuple(_votes(study))))
    if study.cells:
        cells = Table("Cells", study.cell_columns, study.cells)
        sections.append(Section("cells", "Cells of the study", (Fold(f"{len(study.cells)} cells", (cells,)),)))
    return tuple(sections)


def _arms(study: Study) -> Iterator[Block]:
    if not study.arms:
        yield Paragraph("The study has no finished arm yet.")
        return
    yield Paragraph(_in_words(study))
    control = next((arm for arm in study.arms if arm.name == study.control and arm.control is None), None)
    differences = [arm for arm in study.arms if arm.difference is not None and arm is not control]
    if differences:
        several = any(arm.control not in (None, study.control) for arm in study.arms)
        reference = (0.0, "no difference" if several else study.control or "control")
        rows = tuple(ForestRow(arm.name, arm.difference or 0.0, *(arm.ci95 or (None, None))) for arm in differences)
        title = f"Difference in accuracy to {'its control' if several else study.control or 'the control'}"
        yield Figure(ForestPlot(title, "difference", rows, reference, signed=True))
    accuracies = tuple(ForestRow(arm.name, arm.accuracy) for arm in study.arms if arm.accuracy is not None)
    if accuracies and not differences:
        yield Figure(ForestPlot("Accuracy", "accuracy", accuracies))
    heads = ("arm", "n", "accuracy, %", "difference", "95 % interval", "p", "p (Holm)", "tokens", "parameters")
    yield Table("Arms", heads, tuple(_row(_label(study, arm), arm, arm is control) for arm in study.arms))


def _votes(study: Study) -> Iterator[Block]:
    yield Paragraph(
        "sc counts the chains of each answer; any: a right chain exists, the bound of every vote; gap closed: the "
        "difference to sc as a share of the one between any and sc. Intervals and p-values are clustered by problem."
    )
    heads = ("rule", "n", "accuracy, %", "difference to sc", "95 % interval", "p", "gap closed, %")
    for arm in study.arms:
        if arm.votes:
            yield Table(f"Votes of {arm.name}", heads, tuple(_vote_row(vote) for vote in arm.votes))


def _vote_row(vote: Vote) -> tuple[str, ...]:
    return (
        vote.rule,
        _number(vote.n, ",.0f"),
        _number(vote.accuracy, ".1f", 100),
        _number(vote.difference, "+.1f", 100),
        _between(vote.ci95),
        _number(vote.p, ".3g"),
        _number(vote.gap_closed, ".0f", 100),
    )


def _label(study: Study, arm: Arm) -> str:
    """Return an arm's name, with the arm that it is compared with if that is not the study's control."""
    return arm.name if arm.control in (None, study.control) else f"{arm.name} − {arm.control}"


def _row(label: str, arm: Arm, is_control: bool) -> tuple[str, ...]:
    return (
        f"{label} (control)" if is_control else label,
        _number(arm.n, ",.0f"),
        _number(arm.accuracy, ".1f", 100),
        "–" if is_control else _number(arm.difference, "+.1f", 100),
        "–" if is_control else _between(arm.ci95),
        _number(arm.p, ".3g"),
        _number(arm.p_holm, ".3g"),
        _number(arm.tokens, ",.0f"),
        _number(arm.parameters, ",.0f"),
    )


def _number(value: float | None, form: str, scale: float = 1.0) -> str:
    return "–" if value is None else format(round(scale * value, 9) + 0.0, form)  # + 0.0: no negative zero


def _between(ci95: tuple[float, float] | None) -> str:
    return "–" if ci95 is None else f"{100 * ci95[0]:+.1f} to {100 * ci95[1]:+.1f}"


def _in_words(study: Study) -> str:
    parts = [f"The control is {study.control}."] if study.control else []
    if any(arm.control not in (None, study.control) for arm in study.arms):
        parts.append("A − B is compared with B.")
    parts.append("Differences are in percentage points, with 95 % intervals; p (Holm) is corrected for several arms.")
    if study.minimal_difference is not None:
        parts.append(
            f"The smallest difference that the study is made to find is {100 * study.minimal_difference:.1f} points."
        )
    return " ".join(parts)
