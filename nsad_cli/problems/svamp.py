"""SVAMP (Patel et al. 2021): one JSON list of Body, Question, Answer, Type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.problems.raw_files import hub_rows, locate, plain_number, read_document
from nsad_cli.types import Problem, problem_id
from nsad_cli.utils.logs import line_note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPLITS = ("all", "train", "test")
"""The raw file has one set; `train` and `test` exist only on the Hub."""


def read(path: Path, split: str) -> Iterator[Problem]:
    """Read SVAMP.json."""
    file = locate(path, "SVAMP.json")
    for number, row in enumerate(read_document(file), 1):
        try:
            yield _problem(row, split)
        except (KeyError, TypeError, AttributeError) as error:
            line_note(file, f"{file}: problem {number} has no {error}; skipped")


def from_hub(split: str) -> Iterator[Problem]:
    """Read ChilleD/SVAMP."""
    for row in hub_rows("ChilleD/SVAMP", "svamp", "train+test" if split == "all" else split):
        yield _problem(row, split)


def _problem(row: dict[str, Any], split: str) -> Problem:
    body = row["Body"].strip()
    question = f"{body}{'' if body.endswith(('.', '!', '?')) else '.'} {row['Question'].strip()}"
    return Problem(
        problem_id(question), question, plain_number(row["Answer"]), "svamp", split, subject=str(row.get("Type", ""))
    )
