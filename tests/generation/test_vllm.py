"""The vLLM engine where there is no vLLM to speak of; a real one is tried in tests/vllm."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from nsad_cli.errors import NsadError
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.generation.vllm import VllmSampler
from nsad_cli.generation.vllm_process import ModelSettings
from nsad_cli.models.student import Student, load_student

if TYPE_CHECKING:
    from pathlib import Path

GREEDY = Sampling(0.0, 1.0, 8)


@pytest.fixture
def student(tiny_llama: Path) -> Student:
    return load_student(str(tiny_llama), device="cpu", weights=False)


def test_a_vllm_that_cannot_start_is_told(student: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text("raise ValueError('1 error for ModelConfig\\n  no such folder')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    sampler = VllmSampler(student, ModelSettings("nowhere"))
    for _ in range(2):  # it may be tried again
        with pytest.raises(NsadError, match="vLLM cannot start with the student") as error:
            next(sampler.sample([Task("p", "3 + 4", (0,))], GREEDY, seed="s"))
        assert "1 error for ModelConfig no such folder" in error.value.why


def test_what_needs_no_vllm_starts_none(student: Student) -> None:
    sampler = VllmSampler(student, ModelSettings("nowhere"))
    assert list(sampler.sample([Task("p", "3 + 4", (0, 1), cached=True)], GREEDY, seed="s")) == []
    with pytest.raises(NsadError, match="does not fit") as error:
        next(sampler.sample([Task("p", "3 + 4 " * 400, (0,))], GREEDY, seed="s"))
    assert "512 tokens" in error.value.why
    sampler.close()


def test_without_its_weights_a_student_ends_as_with_them(tiny_llama: Path, tmp_path: Path) -> None:
    student = load_student(str(tiny_llama), device="cpu")
    student.model.generation_config.eos_token_id = [2, 9]
    student.model.save_pretrained(tmp_path)
    student.tokenizer.save_pretrained(tmp_path)
    for weights in (True, False):
        assert load_student(str(tmp_path), device="cpu", weights=weights).stop_ids == {2, 9}
