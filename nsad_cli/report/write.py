"""Writing of a report: which target a name means, and the format by the file's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.errors import UsageError
from nsad_cli.report.contents import collect_contents
from nsad_cli.report.html import to_html
from nsad_cli.report.markdown import to_markdown
from nsad_cli.report.run_sections import run_document
from nsad_cli.report.study import read_study, study_path
from nsad_cli.report.study_sections import study_document
from nsad_cli.runs.run import Run, runs_home
from nsad_cli.utils.files import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.report.document import Document

FILE = "report.html"
"""The report's name in the folder of its run or study."""
FORMATS = {".html": to_html, ".htm": to_html, ".md": to_markdown}


def check_output(path: Path) -> None:
    """Check that a file's name says its format.

    Raises:
        UsageError: It ends in neither .html nor .md, or is a folder.
    """
    if path.suffix.lower() not in FORMATS:
        why = "the name ends in neither .html nor .md"
        raise UsageError(f"unknown format of the report {path}", why, "use e.g. -o report.html or -o report.md")
    if path.is_dir():
        raise UsageError(f"cannot write the report {path}", "it is a folder", f"use e.g. -o {path}/report.html")


def find_study(name: str | None) -> Path | None:
    """Return the result file of a study of this name; None if a run has the name, or no study does."""
    if name is None or (runs_home() / name / "manifest.json").is_file():
        return None
    return study_path(name)


def write_study_report(result: Path, output: Path | None = None) -> Path:
    """Write the report of a study beside its result file, or to `output`; see write_run_report."""
    return _write(study_document(read_study(result)), output or result.parent / FILE)


def write_run_report(run: Run, output: Path | None = None) -> Path:
    """Write a run's report.

    Args:
        run: The run.
        output: The file; its name ends in .html or .md. None for report.html in the run's folder.

    Returns:
        The file.

    Raises:
        NsadError: The manifest cannot be read, or the file cannot be written.
    """
    return _write(run_document(collect_contents(run)), output or run.path / FILE)


def _write(document: Document, path: Path) -> Path:
    check_output(path)
    write_atomic(path, FORMATS[path.suffix.lower()](document))
    return path
