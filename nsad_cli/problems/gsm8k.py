"""GSM8K (Cobbe et al. 2021): JSON lines with question and answer; the final answer follows ####."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nsad_cli.problems.raw_files import hub_rows, locate
from nsad_cli.types import Problem, problem_id
from nsad_cli.utils.files import read_jsonl
from nsad_cli.utils.logs import line_note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPLITS = ("test", "train")


def read(path: Path, split: str) -> Iterator[Problem]:
    """Read SPLIT.jsonl."""
    file = locate(path, f"{split}.jsonl")
    for number, row in read_jsonl(file):
        try:
            yield _problem(row, split)
        except (KeyError, AttributeError, ValueError) as error:
            line_note(file, f"{file}:{number}: no question with an answer after #### ({error}); line skipped")


def from_hub(split: str) -> Iterator[Problem]:
    """Read openai/gsm8k."""
    for row in hub_rows("openai/gsm8k", "gsm8k", split, "main"):
        yield _problem(row, split)


def strip_annotations(text: str) -> str:
    """Remove the calculator annotations <<48/2=24>>."""
    return re.sub(r"<<[^<>]*>>", "", text)


def _problem(row: dict[str, Any], split: str) -> Problem:
    solution, mark, answer = row["answer"].rpartition("####")
    if not mark or not answer.strip():
        raise ValueError("no ####")
    return Problem(
        problem_id(row["question"]),
        row["question"].strip(),
        answer.strip().replace(",", ""),
        "gsm8k",
        split,
        strip_annotations(solution).strip(),
    )
