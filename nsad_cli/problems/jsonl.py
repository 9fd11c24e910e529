"""The user's own problems: JSON lines of {"question", "answer"}."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.errors import UsageError
from nsad_cli.types import Problem, problem_id
from nsad_cli.utils.files import read_jsonl, text_of
from nsad_cli.utils.logs import line_note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPLITS = ("all",)


def read(path: Path, split: str) -> Iterator[Problem]:
    """Read the file at `path`."""
    for number, row in read_jsonl(path):
        question, answer = row.get("question"), row.get("answer")
        if not isinstance(question, str) or not question.strip() or answer is None or isinstance(answer, dict | list):
            line_note(path, f"{path}:{number}: needs `question` (text) and `answer` (text or number); line skipped")
            continue
        yield Problem(
            problem_id(question),
            question.strip(),
            text_of(answer),
            "jsonl",
            split,
            subject=str(row.get("subject", "")),
            level=str(row.get("level", "")),
        )


def from_hub(split: str) -> Iterator[Problem]:  # noqa: ARG001  # every source has it
    """Always fail, because a path is required.

    Raises:
        UsageError: Always.
    """
    raise UsageError("`jsonl` needs a path", "it reads your own file", "write jsonl@FILE")
