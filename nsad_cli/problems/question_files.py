"""Problems that people ask: from standard input, or from a file, lines of text or JSON lines."""

from __future__ import annotations

import codecs
import sys
from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError, UsageError
from nsad_cli.types import Problem, problem_id
from nsad_cli.utils.files import read_jsonl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JSON_LINES = (".jsonl", ".json", ".ndjson")


def asked(question: str, gold: str = "") -> Problem:
    """A problem that is not a benchmark's."""
    return Problem(problem_id(question), question, gold, "asked")


def given(problem: str) -> str:
    """A problem's text as it was given to a command, or that of standard input where it is `-`.

    Raises UsageError where standard input is closed, NsadError where it cannot be read, or the text is not UTF-8.
    """
    if problem != "-":
        return _decoded(problem.encode(errors="surrogateescape"), "the problem")
    if sys.stdin is None:
        raise UsageError("standard input is closed", "- reads the problem there", 'pipe it, or write nsad solve "…"')
    try:
        return _decoded(sys.stdin.buffer.read(), "standard input")
    except OSError as error:
        raise NsadError("cannot read standard input", error.strerror or str(error), "pipe the problem to it") from error


def read_asked(path: Path, on_corrupt: Callable[[str], None]) -> list[Problem]:
    """The distinct problems of a file, in its order: a line each, or {"question", "answer"?} where its name ends so.

    A bad line, and one that asks again, is named to `on_corrupt`, and the rest kept. Raises NsadError where the file
    cannot be read, UsageError where it holds no problem, or is one JSON array.
    """
    lines = _from_json(path, on_corrupt) if path.suffix.lower() in JSON_LINES else _from_text(path)
    problems: dict[str, Problem] = {}
    for number, problem in lines:
        if problem.id in problems:
            on_corrupt(f"{path}:{number}: asks again what is above; line skipped")
        problems.setdefault(problem.id, problem)
    if not problems:
        raise UsageError(
            f"{path} holds no problem",
            "it is empty, or no line of it could be read",
            'write a problem a line, or lines of {"question": "…"} in a file that ends in .jsonl',
        )
    return list(problems.values())


def _from_json(path: Path, on_corrupt: Callable[[str], None]) -> list[tuple[int, Problem]]:
    found = []
    if _starts_an_array(path):
        raise UsageError(
            f"{path} is a JSON array, not JSON lines",
            "every problem has a line of its own, without brackets or commas around the lines",
            f"jq -c '.[]' {path} > lines.jsonl, then --file lines.jsonl",
        )
    for number, row in read_jsonl(path, on_corrupt):
        question, gold = row.get("question"), row.get("answer", "")
        if not isinstance(question, str) or not question.strip() or isinstance(gold, dict | list):
            on_corrupt(f"{path}:{number}: needs `question` (text), `answer` is text or a number; line skipped")
            continue
        found.append((number, asked(question.strip(), "" if gold is None else str(gold).strip())))
    return found


def _starts_an_array(path: Path) -> bool:
    return _bytes(path).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def _from_text(path: Path) -> list[tuple[int, Problem]]:
    lines = _decoded(_bytes(path), str(path)).splitlines()
    return [(number, asked(line.strip())) for number, line in enumerate(lines, 1) if line.strip()]


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
