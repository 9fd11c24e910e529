"""`nsad report`: one page about a run or a study, as HTML or Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nsad_cli.cli import completions
from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import AsJson
from nsad_cli.errors import NsadError, first_line
from nsad_cli.utils.distributed import is_main_process
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from nsad_cli.runs.run import Run


def report(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN|STUDY",
            help="A run or a study. Default: the run set by `nsad runs use`, or the newest.",
            show_default=False,
            autocompletion=completions.run_names,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="The file to write, .html or .md. Default: report.html in the folder of the run or study.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write one self-contained page: settings, data, curves, accuracies with intervals, example votes, commands."""
    from nsad_cli.report.write import check_output, find_study, write_run_report, write_study_report

    if output is not None:
        output = output.expanduser()
        check_output(output)
    study = find_study(name)
    if study is not None:
        kind, target, path = "study", study.parent.name, write_study_report(study, output)
    else:
        from nsad_cli.grading.stored_classes import refresh_classes
        from nsad_cli.runs.run import Run

        run = Run.open(name, finished=True)
        note(f"run: {run.name}")
        refresh_classes(run.chains_path)
        kind, target, path = "run", run.name, write_run_report(run, output)
    if as_json:
        print_json({kind: target, "path": str(path)})
    else:
        out().print(str(path), markup=False, soft_wrap=True)


def write_at_end(run: Run) -> None:
    """Write a run's report at the end of a command and note its path; a failure is a note too."""
    from nsad_cli.report.write import write_run_report

    if not is_main_process():
        return
    try:
        note(f"report: {write_run_report(run)}")
    except Exception as error:  # the command's own results are already stored
        why = error.why if isinstance(error, NsadError) else f"{type(error).__name__}: {first_line(error)}"
        note(f"the report could not be written: {why}; `nsad report {run.name}` tries again")
