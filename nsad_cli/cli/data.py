"""`nsad data`: export D+ and D− to files for TRL, and import rationales from files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from nsad_cli.cli.console import print_json
from nsad_cli.cli.options import AsJson, Force, RunName, Settings, one_of, parse_settings, with_log_options
from nsad_cli.utils.logs import muted_notes, note

if TYPE_CHECKING:
    from nsad_cli.store.trl_format import Format

app = typer.Typer(
    help="Export rationales to files that TRL reads, and import them.", no_args_is_help=True, add_completion=False
)


def _formats() -> tuple[str, ...]:
    from nsad_cli.store.trl_format import FORMATS

    return FORMATS


@app.command("export")
@with_log_options
def export(
    path: Annotated[Path, typer.Argument(help="FILE.jsonl, FILE.parquet, or a new folder (datasets library).")],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            callback=one_of("--format", _formats),
            help="unpaired (with a label), preference (pairs), or prompt-completion.",
        ),
    ] = "unpaired",
    side: Annotated[
        str,
        typer.Option(
            "--side",
            callback=one_of("--side", lambda: ("right", "wrong")),
            help="Which rationales prompt-completion contains: right (D+) or wrong (D−).",
        ),
    ] = "right",
    run_name: RunName = None,
    as_json: AsJson = False,
) -> None:
    """Write a run's right (D+) and wrong (D−) rationales in a format that TRL's trainers read."""
    from nsad_cli.cli.run_selection import existing_run
    from nsad_cli.errors import NsadError
    from nsad_cli.pipeline.collect_stage import graded_rationales
    from nsad_cli.store.trl_format import rationales_to_rows
    from nsad_cli.utils.row_files import write_rows

    chosen = cast("Format", format_)
    run = existing_run(run_name)
    positive, negative = graded_rationales(run)
    if chosen == "prompt-completion":
        positive, negative = (positive, []) if side == "right" else ([], negative)
    rows = rationales_to_rows(positive, negative, chosen, run.recipe.student.template)
    if not rows:
        raise NsadError(
            f"run `{run.name}` has nothing to export as {chosen}",
            f"D+ has {len(positive)} rationales, D− {len(negative)}; pairs need a problem that has both",
            "see the counts with `nsad stats`; choose another --format or --side, or collect more draws",
        )
    write_rows(rows, path)
    problems = {item.problem.id for item in (*positive, *negative)}
    held = {"right": len(positive), "wrong": len(negative), "rows": len(rows)}
    left_out = len(problems) - len({row["question"] for row in rows}) if chosen == "preference" else 0
    where = str(path.expanduser().resolve())
    if as_json:
        print_json({"run": run.name, "path": where, "format": chosen, **held, "problems_left_out": left_out})
        return
    note(f"{held['rows']} rows of {chosen} from {held['right']} right and {held['wrong']} wrong rationales → {where}")
    if left_out:
        note(f"{left_out} problems have only right or only wrong rationales, so no pair; --format unpaired has them")


@app.command("import")
@with_log_options
def import_(
    path: Annotated[Path, typer.Argument(help="A JSON-lines or Parquet file, or a folder of the datasets library.")],
    store: Annotated[Path | None, typer.Option("--store", help="A store file that several runs share.")] = None,
    run_name: RunName = None,
    settings: Settings = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Import rationales into a run: graded if a gold answer is known, otherwise by the label in the file.

    Rows are prompt and completion, with a label or an answer; prompt, chosen and rejected; or question, answer and
    generated_answer (a list).
    """
    from nsad_cli.cli.run_selection import execute, new_or_existing_run
    from nsad_cli.teachers.recorded import RecordedTeacher

    path = path.expanduser().resolve()
    spec = f"jsonl:{path}"
    _require_same_teacher(run_name, spec)
    with muted_notes():  # the collect stage reports unreadable rows
        teacher = RecordedTeacher("jsonl", path)
    overrides = {"teacher.spec": spec, "teacher.draws": teacher.max_draws, **parse_settings(settings)}
    stages = ("collect", "grade")
    run = new_or_existing_run(run_name, overrides, store, stages)
    execute(run, stages, force=force)
    found = _import_counts(run.store_path, teacher)
    if as_json:
        print_json({"run": run.name, **found})
        return
    verdicts = found["verdicts"]
    other = sum(count for name, count in verdicts.items() if name not in ("correct", "wrong"))
    note(
        f"{found['rationales']} rationales for {found['problems']} problems: {found['graded']} graded against a gold "
        f"answer, {found['labelled']} with the label from the file"
    )
    if found["against_label"]:
        note(f"{found['against_label']} graded rationales contradict their label; the grade is used")
    note(f"D+ {verdicts.get('correct', 0)}, D− {verdicts.get('wrong', 0)}, neither {other}")
    note(f"next: nsad train-nat --run {run.name}")


def _require_same_teacher(name: str | None, spec: str) -> None:
    """Raise UsageError if the run already has rationales from another teacher."""
    from nsad_cli.errors import UsageError
    from nsad_cli.runs.run import Run, runs_home

    if name is None or not (runs_home() / name / "manifest.json").is_file():
        return
    run = Run.open(name)
    if "collect" in run.stages() and run.recipe.teacher.spec != spec:
        raise UsageError(
            f"run `{name}` already has rationales",
            f"they are from {run.recipe.teacher.spec}",
            "import into a new run with another --run NAME",
        )


def _import_counts(store_path: Path, teacher: Any) -> dict[str, Any]:
    """Count the imported rationales: graded, labelled, graded against their label, and by verdict."""
    from nsad_cli.collection.collect import params_key
    from nsad_cli.store.rationales import Store
    from nsad_cli.types import Verdict

    with Store(store_path) as store:
        verdicts = store.verdicts.of_teacher(teacher.name, params_key(teacher))
        blank = {problem.id for problem in store.problems() if not problem.answer}
    sides = {True: Verdict.CORRECT, False: Verdict.WRONG}
    against = sum(
        verdicts.get(draw) in sides.values() and verdicts[draw] is not sides[label]
        for draw, label in teacher.labels.items()
    )
    labelled = sum(name in blank and (name, number) in teacher.labels for name, number in verdicts)
    return {
        "problems": len({name for name, _ in verdicts}),
        "rationales": len(verdicts),
        "graded": sum(name not in blank for name, _ in verdicts),
        "labelled": labelled,
        "against_label": against,
        "verdicts": dict(Counter(verdict.value for verdict in verdicts.values())),
    }
