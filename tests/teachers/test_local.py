"""The teachers that run here; vLLM itself is tried in tests/vllm."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.collection.collect import collect
from nsad_cli.config.schema import Demonstration, TeacherConfig
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.models.student import load_student
from nsad_cli.store.rationales import Store
from nsad_cli.teachers import make_teacher
from nsad_cli.teachers.vllm import VllmTeacher
from nsad_cli.types import Problem, problem_id
from nsad_cli.utils.hashing import seed_of

if TYPE_CHECKING:
    from pathlib import Path

QUESTIONS = ("How many?", "Ana has 3 cups.")
PROBLEMS = [Problem(problem_id(question), question, "1", "test") for question in QUESTIONS]


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_vllm_where_it_is_not_installed() -> None:
    with pytest.raises(NsadError, match="needs vLLM"):
        make_teacher("vllm:some/model", TeacherConfig())


def test_a_scheme_without_a_path() -> None:
    for scheme in ("hf", "vllm"):
        with pytest.raises(UsageError, match="has no model"):
            make_teacher(f"{scheme}:", TeacherConfig())


def test_a_local_model_answers_and_resumes_identically(tmp_path: Path, tiny_llama: Path) -> None:
    texts = []
    for name in ("a", "b"):
        teacher = make_teacher(f"hf:{tiny_llama}", TeacherConfig(max_tokens=6, device="cpu"))
        with Store(tmp_path / f"{name}.sqlite") as store:
            if name == "b":
                collect(PROBLEMS, teacher, 1, store)
            collect(PROBLEMS, teacher, 2, store)
            texts.append(
                sorted((item.draw.problem_id, item.draw.index, item.draw.text) for item in store.verdicts.ungraded("1"))
            )
    assert len(texts[0]) == 4
    assert texts[0] == texts[1]


def test_only_its_own_problem_fails_if_a_prompt_does_not_fit(tmp_path: Path, tiny_llama: Path) -> None:
    long = "How many? " * 400
    problems = [PROBLEMS[0], Problem(problem_id(long), long, "1", "test"), PROBLEMS[1]]
    teacher = make_teacher(f"hf:{tiny_llama}", TeacherConfig(max_tokens=6, device="cpu"))
    with Store(tmp_path / "store.sqlite") as store:
        summary = collect(problems, teacher, 1, store)
    assert summary.new == 2
    assert "does not fit" in summary.failures.pop(problems[1].id)
    assert not summary.failures


def test_what_cannot_be_loaded_is_told_as_the_teachers_trouble(tmp_path: Path, tiny_llama: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, device in ((tmp_path / "nowhere", "cpu"), (tmp_path / "empty", "cpu"), (tiny_llama, "mps")):
        teacher = make_teacher(f"hf:{path}", TeacherConfig(device=device))
        with Store(tmp_path / "store.sqlite") as store, pytest.raises(NsadError, match="the teacher `hf:") as error:
            collect(PROBLEMS, teacher, 1, store)
        told = error.value.what + error.value.why + error.value.fix
        assert "student" not in told
        assert str(path) in told
        assert device in told


def test_both_engines_read_the_same_prompt(tiny_llama: Path) -> None:
    """Without a chat template a student's plain prompt, which base models know; with one, the template."""
    settings = TeacherConfig(prompt="{question} Think.")
    reader = VllmTeacher(str(tiny_llama), settings).prompt_model(str(tiny_llama), None)
    student = load_student(str(tiny_llama), device="cpu")
    for problem in PROBLEMS:
        prompt = reader.prompt_ids(f"{problem.question} Think.")
        assert prompt == student.prompt_ids(f"{problem.question} Think.")
        assert student.tokenizer.decode(prompt).endswith("Think.\nAnswer:\n")
    shown = settings.model_copy(update={"demonstrations": [Demonstration(question="1?", solution="It is 1.")]})
    longer = VllmTeacher(str(tiny_llama), shown).prompt_model(str(tiny_llama), None)
    assert (reader.stop_texts, longer.stop_texts) == ((), ("\nQuestion:",))
    for problem in PROBLEMS:
        text = student.tokenizer.decode(longer.prompt_ids(f"{problem.question} Think."))
        assert text.startswith("Question: 1? Think.\nAnswer:\nIt is 1.\n\nQuestion: ")
        assert text.endswith("Answer:\n")


@given(st.lists(st.tuples(st.text("0123456789abcdef", min_size=16, max_size=16), st.integers(0, 99)), unique=True))
def test_a_draw_has_a_seed_of_its_own(draws: list[tuple[str, int]]) -> None:
    seeds = [seed_of(*draw, bits=32) for draw in draws]
    assert len(set(seeds)) == len(draws)
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert seeds == [seed_of(*draw, bits=32) for draw in draws]


@pytest.mark.parametrize(
    ("code", "what", "why"),
    [
        (
            "print('noise')\nraise RuntimeError('no operator nms')",
            "vLLM cannot start",
            "no operator nms",
        ),
        ("import os\nprint('noise', flush=True)\nos._exit(7)", "vLLM died", "exited with code 7"),
    ],
)
def test_a_vllm_that_fails_is_told_and_prints_nothing_of_ours(
    code: str, what: str, why: str, tmp_path: Path, tiny_llama: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real process, whose vLLM stumbles as it is imported."""
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    teacher = VllmTeacher(str(tiny_llama), TeacherConfig())
    with Store(tmp_path / "store.sqlite") as store, pytest.raises(NsadError, match=what) as error:
        collect(PROBLEMS, teacher, 1, store)
    assert why in error.value.why
    assert "above" in error.value.fix
    out, err = capfd.readouterr()
    assert out == ""
    assert "noise" in err
