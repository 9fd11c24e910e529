"""MultiArith (Roy and Roth 2015): one JSON list of sQuestion and lSolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.problems.raw_files import hub_rows, locate, plain_number, read_document
from nsad_cli.types import Problem, problem_id
from nsad_cli.utils.logs import line_note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPLITS = ("all", "train", "test")
"""The raw file has one set; `train` and `test` exist only on the Hub."""


def read(path: Path, split: str) -> Iterator[Problem]:
    """Read MultiArith.json."""
    file = locate(path, "MultiArith.json")
    for number, row in enumerate(read_document(file), 1):
        try:
            yield _problem(row["sQuestion"], row["lSolutions"][0], split)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            line_note(file, f"{file}: problem {number} has no {error}; skipped")


def from_hub(split: str) -> Iterator[Problem]:
    """Read ChilleD/MultiArith."""
    for row in hub_rows("ChilleD/MultiArith", "multiarith", "train+test" if split == "all" else split):
        yield _problem(row["question"], row["final_ans"], split)


def _problem(question: str, answer: float | str, split: str) -> Problem:
    text = question.strip()
    return Problem(problem_id(text), text, plain_number(answer), "multiarith", split)
