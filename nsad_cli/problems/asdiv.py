"""ASDiv (Miao et al. 2020): XML of Body, Question, Answer; answers carry units, and some are not numbers."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import TYPE_CHECKING

from nsad_cli.problems.raw_files import hub_rows, locate, unreadable
from nsad_cli.types import Problem, problem_id
from nsad_cli.utils.logs import line_note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPLITS = ("all",)


def read(path: Path, split: str) -> Iterator[Problem]:
    """Read ASDiv.xml."""
    file = locate(path, "ASDiv.xml")
    try:
        root = ElementTree.parse(file).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise unreadable(file, error) from error
    for item in root.iter("Problem"):
        body, question, answer = (item.findtext(tag) for tag in ("Body", "Question", "Answer"))
        if body is None or question is None or not answer:
            line_note(file, f"{file}: problem {item.get('ID')} lacks a body, a question or an answer; skipped")
            continue
        yield _problem(body, question, answer, split, item.findtext("Solution-Type") or "", item.get("Grade") or "")


def from_hub(split: str) -> Iterator[Problem]:
    """Read EleutherAI/asdiv, whose one split is named validation."""
    for row in hub_rows("EleutherAI/asdiv", "asdiv", "validation"):
        yield _problem(row["body"], row["question"], row["answer"], split, row.get("solution_type", ""), "")


def _problem(body: str, question: str, answer: str, split: str, subject: str, level: str) -> Problem:
    text = f"{body.strip()} {question.strip()}".strip()
    return Problem(problem_id(text), text, without_units(answer), "asdiv", split, subject=subject, level=level)


def without_units(answer: str) -> str:
    """Remove units in parentheses: `9 (apples)` becomes `9`, the list `2 (a); 3 (b)` becomes `2; 3`."""
    parts = [re.sub(r"\([^()]*\)$", "", part.strip()).strip() for part in answer.split(";")]
    return "; ".join(part for part in parts if part) or answer.strip()
