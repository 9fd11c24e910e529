"""The sections of a run's report, from its contents: settings, data, curves, and the commands that repeat them."""

from __future__ import annotations

import itertools
import shlex
from collections import Counter
from typing import TYPE_CHECKING

from nsad_cli.config.stages import NAT, RANKER, STUDENT, TRAINING, stages
from nsad_cli.report.charts import Bar, BarChart, LineChart, Series, percent, thinned
from nsad_cli.report.document import Code, Document, Figure, Fold, Paragraph, Section, Table
from nsad_cli.report.example_sections import examples_section
from nsad_cli.report.result_sections import (
    arms_section,
    by_number_section,
    negatives_section,
    ranker_section,
    summary,
)
from nsad_cli.report.study_sections import study_sections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nsad_cli.report.charts import Tone
    from nsad_cli.report.contents import Contents, LedgerRow
    from nsad_cli.report.curves import StageCurves
    from nsad_cli.report.document import Block

MAIN_SETTINGS = (
    "seed", "student.model", "student.dtype", "problems.train", "problems.limit", "teacher.spec", "teacher.draws",
    "teacher.temperature", "adapter.targets", "adapter.r", "adapter.alpha", "adapter.unit.size", "adapter.unit.value",
    "adapter.unit.gate", "training.negative.source", "sampling.temperature", "sampling.top_p",
    "sampling.max_new_tokens", "solve.rule", "solve.samples", "solve.weights", "evaluation.benchmarks",
    "evaluation.limit", "evaluation.samples", "training.ranker.kind",
)  # fmt: skip
"""The settings that are shown at once; the recipe has all of them."""
TRAINING_SETTINGS = ("epochs", "tokens", "batch_size", "learning_rate", "warmup_steps", "max_chars", "max_examples")
FOLDED_ROWS, MAX_ROWS = 40, 500
"""Rows of the ledger above which it is folded, and at which it ends."""
TONES: dict[str, Tone] = {"correct": "good", "wrong": "bad"}


def run_document(contents: Contents) -> Document:
    """Lay out a run's report."""
    sections = [
        Section("summary", "Summary", (*summary(contents), *map(Paragraph, contents.unreadable))),
        Section("settings", "Settings", tuple(_settings(contents))),
        Section("data", "Data and ledger", tuple(_data(contents))),
        Section("curves", "Training curves", tuple(_curves(contents))),
        arms_section(contents),
        ranker_section(contents),
        by_number_section(contents),
        negatives_section(contents),
        examples_section(contents),
        *(study_sections(contents.study) if contents.study is not None else ()),
        Section("commands", "Commands that repeat these numbers", tuple(_commands(contents))),
    ]
    made = ", ".join(f"{name} {version}" for name, version in contents.versions.items())
    return Document(
        f"Run {contents.name}", f"Created {contents.created}" + (f" with {made}" if made else ""), tuple(sections)
    )


def _settings(contents: Contents) -> Iterator[Block]:
    known = dict(contents.settings)
    main = tuple((key, known[key]) for key in MAIN_SETTINGS if key in known)
    if main:
        yield Table("Main settings", ("setting", "value"), main, left=2)
    columns = [key for key in TRAINING_SETTINGS if any(f"training.{stage.name}.{key}" in known for stage in TRAINING)]
    if columns:
        rows = tuple(
            (stage.name, *(known.get(f"training.{stage.name}.{key}", "–") for key in columns)) for stage in TRAINING
        )
        yield Table("Training settings by stage", ("stage", *(key.replace("_", " ") for key in columns)), rows)
    if contents.recipe:
        yield Fold("The whole recipe (recipe.yaml)", (Code(contents.recipe),))
    if not main and not contents.recipe:
        yield Paragraph("The run's recipe is not available.")


def _data(contents: Contents) -> Iterator[Block]:
    if contents.problems is not None:
        yield Paragraph(f"{contents.problems:,} problems were collected.")
    if contents.ledger:
        totals: Counter[str] = Counter()
        for row in contents.ledger:
            totals[row.verdict] += row.draws
        count = totals.total()
        bars = tuple(
            Bar(verdict, draws / count, f"{draws:,} ({percent(draws / count)})", TONES.get(verdict, "muted"))
            for verdict, draws in totals.most_common()
        )
        yield Figure(BarChart("Samples by verdict: correct is D+, wrong is D−", "samples by verdict", bars))
        table = _ledger_table(contents.ledger, [verdict for verdict, _ in totals.most_common()])
        yield table if len(table.rows) <= FOLDED_ROWS else Fold("The ledger by subject", (table,))
    else:
        yield Paragraph("The run has no samples of a teacher yet.")
    if contents.stages:
        yield _stages_table(contents)
    else:
        yield Paragraph("No stage has started.")


def _ledger_table(ledger: tuple[LedgerRow, ...], verdicts: list[str]) -> Table:
    cells: dict[tuple[str, str], Counter[str]] = {}
    for row in ledger:
        cells.setdefault((row.teacher, row.subject), Counter())[row.verdict] += row.draws
    rows = tuple(
        (teacher, subject or "–", *(f"{found[verdict]:,}" for verdict in verdicts))
        for (teacher, subject), found in itertools.islice(cells.items(), MAX_ROWS)
    )
    more = f"; the first {MAX_ROWS} of {len(cells):,} subjects" if len(cells) > MAX_ROWS else ""
    heads = tuple(verdict.replace("_", " ") for verdict in verdicts)
    return Table(f"Ledger: samples by teacher, subject and verdict{more}", ("teacher", "subject", *heads), rows, left=2)


def _stages_table(contents: Contents) -> Table:
    rows = tuple(
        (
            row.name,
            row.state,
            *(_count(value) for value in (row.examples, row.steps, row.tokens, row.parameters)),
            "–" if row.held_out_loss is None else f"{row.held_out_loss:.4f}",
            "–" if row.seconds is None else f"{row.seconds:,.0f}",
        )
        for row in contents.stages
    )
    heads = ("stage", "state", "examples", "steps", "tokens", "trained parameters", "held-out loss", "seconds")
    return Table("Stages", heads, rows, left=2)


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _curves(contents: Contents) -> Iterator[Block]:
    if not contents.curves:
        yield Paragraph("No stage has logged a loss yet.")
    for item in contents.curves:
        loss = [Series("training loss", thinned(item.loss))]
        if item.held_out_loss:
            loss.append(Series("held-out loss", item.held_out_loss, dots=True))
        yield Figure(LineChart(f"{item.stage}: loss", "step", "loss", tuple(loss)))
        yield from _more_curves(item)


def _more_curves(item: StageCurves) -> Iterator[Block]:
    for name, title, label, spread in (
        ("mean, lowest and highest of the layers", "integration weight α by layer", "α", item.alpha),
        ("median, with 5 % and 95 % quantiles", "weight β", "β", item.beta),
    ):
        if spread:
            points = thinned([(step, middle) for step, _, middle, _ in spread])
            kept = {step for step, _ in points}
            band = tuple((step, low, high) for step, low, _, high in spread if step in kept)
            series = Series(name, points, band)
            yield Figure(LineChart(f"{item.stage}: {title}", "step", label, (series,)))
    if item.pair_accuracy:
        series = Series("training pairs ranked rightly", thinned(item.pair_accuracy))
        yield Figure(LineChart(f"{item.stage}: pair accuracy in training", "step", "pairs", (series,), percent=True))


def _commands(contents: Contents) -> Iterator[Block]:
    """List the commands that made the run, and those that repeat the numbers of each section."""
    name = shlex.quote(contents.name)
    made = contents.commands or (f"nsad run recipe.yaml --run {name}   # with the recipe above as recipe.yaml",)
    yield Paragraph("The run was made by:" if contents.commands else "A run with the same settings:")
    yield Code("\n".join(made))
    yield Paragraph(
        "These commands print the numbers of a section; nsad eval samples only chains that are not stored yet."
    )
    lines = [(f"nsad stats --run {name}", "data and ledger")]
    lines += [
        (f"{stages()[stage].command_line} --run {name} --force", f"curves of {stage}")
        for stage in (NAT.name, STUDENT.name, RANKER.name)
        if any(row.name == stage for row in contents.stages)
    ]
    models = list(dict.fromkeys(item.model for item in contents.results))
    if models:
        chosen = " ".join(f"--model {shlex.quote(model)}" for model in models)
        lines.append((f"nsad eval --run {name} {chosen}", "accuracy by model and rule, effect of negatives"))
    if len(models) > 1:
        lines.append((f"nsad eval --compare {name}:{models[0]} {name}:{models[-1]}", "paired tests of two models"))
    if contents.votes.by_number:
        lines.append((f"nsad eval --run {name} --samples K", "accuracy with K chains"))
    lines += [
        (f"nsad vote --run {name} --explain {item.problem.id}", "example vote") for item in contents.votes.examples
    ]
    lines.append((f"nsad report {name}", "this page"))
    yield Code("\n".join(f"{line}   # {what}" for line, what in lines))
