"""Readers of raw files: counts, answers, damage."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from nsad_cli.errors import NsadError, UsageError
from nsad_cli.problems import load_problems, parse_spec
from tests.helpers.notes import recorded_notes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("spec", "folder", "count"),
    [
        ("gsm8k:train", "gsm8k", 7473),
        ("gsm8k:test", "gsm8k", 1319),
        ("svamp", "svamp", 1000),
        ("multiarith", "multiarith", 600),
        ("asdiv", "asdiv", 2305),
        ("math:test", "math", 4500),
    ],
)
def test_counts(data: Path, spec: str, folder: str, count: int) -> None:
    corrupt = recorded_notes()
    problems = load_problems(f"{spec}@{data / folder}")
    assert len(problems) == count
    assert corrupt == []
    assert all(problem.question and problem.answer for problem in problems)
    assert len(load_problems(f"{spec}@{data / folder}", limit=7)) == 7


def test_answers_that_are_not_numbers_are_read(data: Path) -> None:
    asdiv = {problem.answer for problem in load_problems(f"asdiv@{data / 'asdiv'}")}
    assert {"Yes", "Purple", "3:4"} <= asdiv
    assert any("; " in answer for answer in asdiv)
    math = load_problems(f"math:test@{data / 'math'}")
    assert sum(not problem.answer.lstrip("-").isdigit() for problem in math) > 1000
    assert {problem.level for problem in math} >= {"1", "2", "3", "4", "5"}


def test_first_problems(data: Path) -> None:
    first = load_problems(f"gsm8k:test@{data / 'gsm8k'}", limit=1)[0]
    assert first.answer == "18"
    assert "<<" not in (first.solution or "")
    assert load_problems(f"svamp@{data / 'svamp' / 'SVAMP.json'}", limit=1)[0].answer == "51"
    assert load_problems(f"multiarith@{data / 'multiarith'}", limit=1)[0].answer == "39"


def test_math_in_its_authors_folders(tmp_path: Path) -> None:
    folder = tmp_path / "test" / "algebra"
    folder.mkdir(parents=True)
    for name, answer in (("10", "ten"), ("2", "two")):
        row = {"problem": f"What is {name}?", "level": "Level 2", "type": "Algebra", "solution": rf"\boxed{{{answer}}}"}
        (folder / f"{name}.json").write_text(json.dumps(row))
    (folder / "3.json").write_text("{")
    corrupt = recorded_notes()
    found = load_problems(f"math:test@{tmp_path}")
    assert [problem.answer for problem in found] == ["two", "ten"]
    assert len(corrupt) == 1
    assert "3.json" in corrupt[0]


def test_a_corrupt_line_is_named_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(
        '{"question": "1+1?", "answer": 2}\n{"question": "half\n\n[1]\n{"question": "2+2?"}\n'
        '{"question": "3+3?", "answer": "6"}\n'
    )
    corrupt = recorded_notes()
    found = load_problems(f"jsonl@{path}")
    assert [problem.answer for problem in found] == ["2", "6"]
    assert [line.split(":")[1] for line in corrupt] == ["2", "4", "5"]


def test_small_and_large_numbers_keep_their_digits(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"question": "1?", "answer": 0.00001}\n{"question": "2?", "answer": 1e22}\n')
    assert [problem.answer for problem in load_problems(f"jsonl@{path}")] == ["0.00001", "1" + "0" * 22]


@pytest.mark.parametrize("spec", ["gsm9k", "gsm8k:dev@x", "jsonl", "arithmetic:dev"])
def test_wrong_specs_are_usage_errors(spec: str) -> None:
    with pytest.raises(UsageError):
        load_problems(spec)


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(UsageError) as error:
        parse_spec("gms8k")
    assert "gsm8k" in error.value.fix


@pytest.mark.parametrize(("name", "file"), [("svamp", "SVAMP.json"), ("asdiv", "ASDiv.xml")])
def test_damaged_documents(tmp_path: Path, name: str, file: str) -> None:
    with pytest.raises(NsadError, match="no data at"):
        load_problems(f"{name}@{tmp_path}")
    (tmp_path / file).write_text("<[{")
    with pytest.raises(NsadError, match="cannot read"):
        load_problems(f"{name}@{tmp_path}")


def test_a_hub_that_cannot_be_reached_is_told_within_ten_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    started = time.monotonic()
    with pytest.raises(NsadError) as error:
        load_problems("gsm8k:test")
    assert time.monotonic() - started < 10
    assert "gsm8k@PATH" in error.value.fix
