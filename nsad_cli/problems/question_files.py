"""Problems given by the user: an argument, standard input, or a file of text lines or JSON lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError, UsageError
from nsad_cli.types import Problem, problem_id
from nsad_cli.utils.files import read_jsonl
from nsad_cli.utils.logs import line_note

if TYPE_CHECKING:
    from pathlib import Path

JSON_LINES = (".jsonl", ".json", ".ndjson")
TABLES = (".csv", ".tsv", ".parquet", ".xlsx", ".xls")


def make_problem(question: str, gold: str = "") -> Problem:
    """Create a problem that belongs to no benchmark."""
    return Problem(problem_id(question), question, gold, "asked")


def read_question(problem: str) -> str:
    """Return the text of a problem given on the command line; `-` reads standard input.

    Raises:
        UsageError: Standard input is closed.
        NsadError: Standard input cannot be read, or the text is not UTF-8.
    """
    if problem != "-":
        return _decoded(problem.encode(errors="surrogateescape"), "the problem")
    if sys.stdin is None:
        raise UsageError("standard input is closed", "- reads the problem there", 'pipe it, or write nsad solve "…"')
    try:
        return _decoded(sys.stdin.buffer.read(), "standard input")
    except OSError as error:
        raise NsadError("cannot read standard input", error.strerror or str(error), "pipe the problem to it") from error


def read_questions(path: Path) -> list[Problem]:
    """Read the distinct problems of a file, in order.

    A .jsonl, .json or .ndjson file has lines of {"question", "answer" (optional)}, others one question per line. An
    invalid or repeated line is skipped, with a note.

    Args:
        path: The file.

    Raises:
        NsadError: The file cannot be read.
        UsageError: The file contains no problem, or is a JSON array.
    """
    if path.suffix.lower() in TABLES:
        raise UsageError(
            f"{path} is a table, not a file of problems",
            f"`{path.suffix}` files have columns",
            'write one problem per line to a .txt file, or {"question": "…"} per line to a .jsonl file',
        )
    lines = _from_json(path) if path.suffix.lower() in JSON_LINES else _from_text(path)
    problems: dict[str, Problem] = {}
    for number, problem in lines:
        if problem.id in problems:
            line_note(path, f"{path}:{number}: asks again what is above; line skipped")
        problems.setdefault(problem.id, problem)
    if not problems:
        raise UsageError(
            f"{path} holds no problem",
            "it is empty, or no line of it could be read",
            'write a problem a line, or lines of {"question": "…"} in a file that ends in .jsonl',
        )
    return list(problems.values())


def _from_json(path: Path) -> list[tuple[int, Problem]]:
    found = []
    for number, row in read_jsonl(path):
        question, gold = row.get("question"), row.get("answer", "")
        if not isinstance(question, str) or not question.strip() or isinstance(gold, dict | list):
            line_note(path, f"{path}:{number}: needs `question` (text), `answer` is text or a number; line skipped")
            continue
        found.append((number, make_problem(question.strip(), "" if gold is None else str(gold).strip())))
    return found


def _from_text(path: Path) -> list[tuple[int, Problem]]:
    lines = _decoded(_bytes(path), str(path)).splitlines()
    return [(number, make_problem(line.strip())) for number, line in enumerate(lines, 1) if line.strip()]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NsadError(f"cannot read {path}", error.strerror or str(error), "give the path of a file") from error


def _decoded(raw: bytes, source: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NsadError(
            f"cannot read {source}", f"it is not UTF-8 text ({error.reason})", "give it as UTF-8"
        ) from error
