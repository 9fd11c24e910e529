"""A file of problems: lines, JSON lines, damage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nsad_cli.errors import NsadError, UsageError
from nsad_cli.problems.question_files import read_questions
from tests.helpers.notes import recorded_notes

if TYPE_CHECKING:
    from pathlib import Path


def test_lines_of_text(tmp_path: Path) -> None:
    path = tmp_path / "q.txt"
    path.write_text("What is 1 + 1?\n\n  {1, 2} has how many elements?  \nwhat is 1 + 1?\n")
    told = recorded_notes()
    found = read_questions(path)
    assert [problem.question for problem in found] == ["What is 1 + 1?", "{1, 2} has how many elements?"]
    assert len(told) == 1
    assert ":4:" in told[0]
    assert "again" in told[0]
    assert all(problem.answer == "" and problem.benchmark == "asked" for problem in found)


def test_json_lines_with_bad_ones(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "1+1", "answer": 2}\nnot json\n{"question": " "}\n["x"]\n{"question": "2+2"}\n')
    told = recorded_notes()
    found = read_questions(path)
    assert [(problem.question, problem.answer) for problem in found] == [("1+1", "2"), ("2+2", "")]
    assert [line.split(":")[1] for line in told] == ["2", "3", "4"]


@pytest.mark.parametrize("name", ["q.txt", "q.jsonl"])
@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match="holds no problem"):
        read_questions(tmp_path / name)


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(NsadError, match="cannot read"):
        read_questions(tmp_path / "none.txt")
    (tmp_path / "q.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NsadError, match="UTF-8"):
        read_questions(tmp_path / "q.txt")
    with pytest.raises(NsadError, match="cannot read"):
        read_questions(tmp_path)


@pytest.mark.parametrize("name", ["q.txt", "q.jsonl"])
def test_a_byte_order_mark_is_no_part_of_a_question(tmp_path: Path, name: str) -> None:
    line = '{"question": "What is 1 + 1?"}' if name.endswith("l") else "What is 1 + 1?"
    (tmp_path / name).write_text(line, encoding="utf-8-sig")
    assert [problem.question for problem in read_questions(tmp_path / name)] == ["What is 1 + 1?"]


@pytest.mark.parametrize(
    "text", ['[\n{"question": "1+1"},\n{"question": "2+2"}\n]', '\ufeff\n [{"question": "1+1"}]', "["]
)
def test_an_array_is_no_file_of_lines(tmp_path: Path, text: str) -> None:
    (tmp_path / "q.json").write_text(text)
    told = recorded_notes()
    with pytest.raises(UsageError, match="JSON array, not JSON lines"):
        read_questions(tmp_path / "q.json")
    assert told == []
