"""Recorded, built-in and local teachers, and how specs are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nsad_cli.collection.collect import collect
from nsad_cli.config.schema import TeacherConfig
from nsad_cli.errors import NsadError
from nsad_cli.grading.checker import Checker
from nsad_cli.grading.grade import GRADER_VERSION, grade
from nsad_cli.store.rationales import Store
from nsad_cli.teachers import make_teacher
from nsad_cli.teachers.openai import OpenAITeacher
from nsad_cli.types import Verdict
from tests.helpers.notes import recorded_notes

if TYPE_CHECKING:
    from pathlib import Path


def test_gsm8k_solutions(data: Path, tmp_path: Path) -> None:
    teacher = make_teacher(f"gsm8k-solutions:{data}/gsm8k/example_model_solutions.jsonl", TeacherConfig())
    problems = (teacher.problems() or [])[:50]
    with Store(tmp_path / "store.sqlite") as store, Checker() as checker:
        assert collect(problems, teacher, 4, store).stored == 200
        ledger = grade(store, checker).by_verdict()
        assert ledger["correct"] > 50
        assert ledger["wrong"] > 80
        assert not any("<<" in item.draw.text for item in store.verdicts.ungraded("none"))
        assert list(store.verdicts.ungraded(GRADER_VERSION)) == []


def test_tdg(data: Path) -> None:
    teacher = make_teacher(f"tdg:{data}/tdg/GPT4-MATH", TeacherConfig())
    problems = teacher.problems() or []
    assert len(problems) > 3_700
    assert {problem.subject for problem in problems} == {
        "algebra",
        "number_theory",
        "prealgebra",
    }
    assert not any(problem.question.startswith("Problem:") for problem in problems)


def test_a_corrupt_line_of_ones_own_rationales_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(
        '{"question": "1+1?", "answer": "2", "generated_answer": ["The answer is 2.", "The answer is 3."]}\n'
        '{"question": "2+2?", "answer": "4"}\nnonsense\n'
    )
    corrupt = recorded_notes()
    teacher = make_teacher(f"jsonl:{path}", TeacherConfig())
    assert [line.split(":")[1] for line in corrupt] == ["2", "3"]
    with Store(tmp_path / "store.sqlite") as store, Checker() as checker:
        collect(teacher.problems() or [], teacher, 8, store)  # fewer are recorded than asked for
        grade(store, checker)
        for verdict in (Verdict.CORRECT, Verdict.WRONG):
            params = store._db.execute("SELECT params FROM draws").fetchone()[0]
            assert len(store.rationales(verdict, teacher=teacher.name, params=params)) == 1


def test_a_file_that_is_not_there_or_empty(tmp_path: Path) -> None:
    with pytest.raises(NsadError, match="has no data"):
        make_teacher(f"tdg:{tmp_path / 'none'}", TeacherConfig())
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(NsadError, match="has no rationale"):
        make_teacher(f"jsonl:{tmp_path / 'empty.jsonl'}", TeacherConfig())


def test_only_known_prefixes_are_schemes() -> None:
    teacher = make_teacher("ft:gpt-4o:org::id", TeacherConfig(base_url=["http://127.0.0.1:9/v1"]))
    assert isinstance(teacher, OpenAITeacher)
    assert teacher.name == "ft:gpt-4o:org::id"
