"""MATH (Hendrycks et al. 2021): problem, level, type, solution, as JSON lines or one JSON file per problem."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError
from nsad_cli.problems.raw_files import hub_rows, locate, read_document
from nsad_cli.types import Problem, problem_id
from nsad_cli.utils.files import read_jsonl
from nsad_cli.utils.latex import last_boxed
from nsad_cli.utils.logs import line_note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPLITS = ("test", "train")
SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)


def read(path: Path, split: str) -> Iterator[Problem]:
    """Read SPLIT.jsonl, or the authors' folders SPLIT/SUBJECT/N.json."""
    if (path / split).is_dir():
        files = sorted((path / split).glob("*/*.json"), key=lambda file: (file.parent.name, len(file.stem), file.stem))
        for file in files:
            try:
                yield _problem(read_document(file), split)
            except (KeyError, ValueError, AttributeError, TypeError, NsadError) as error:
                line_note(file, f"{file}: not a MATH problem ({error}); skipped")
        return
    file = locate(path, f"{split}.jsonl")
    for number, row in read_jsonl(file):
        try:
            yield _problem(row, split)
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            line_note(file, f"{file}:{number}: not a MATH problem ({error}); line skipped")


def from_hub(split: str) -> Iterator[Problem]:
    """Read EleutherAI/hendrycks_math, one configuration per subject."""
    for subject in SUBJECTS:
        for row in hub_rows("EleutherAI/hendrycks_math", "math", split, subject):
            yield _problem(row, split)


def _problem(row: dict[str, Any], split: str) -> Problem:
    answer = last_boxed(row["solution"])
    if answer is None:
        raise ValueError("the solution has no \\boxed answer")
    return Problem(
        problem_id(row["problem"]),
        row["problem"].strip(),
        answer,
        "math",
        split,
        row["solution"].strip(),
        row["type"],
        str(row["level"]).removeprefix("Level "),
    )
