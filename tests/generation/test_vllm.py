"""The vLLM engine where there is no vLLM to speak of; a real one is tried in tests/vllm."""

from __future__ import annotations

import dataclasses
import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from nsad_cli.errors import NsadError
from nsad_cli.generation import vllm_worker
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.generation.vllm import VllmSampler
from nsad_cli.generation.vllm_logprobs import SAMPLED_ONLY, skip_ranks
from nsad_cli.generation.vllm_process import ModelSettings, own_environment
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


def test_vllm_does_not_take_a_launchers_processes_for_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "ACCELERATE_MIXED_PRECISION"):
        monkeypatch.setenv(name, "a launcher's")
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    found = own_environment()
    assert found["VLLM_CPU_KVCACHE_SPACE"] == "1"
    assert found["PATH"] == os.environ["PATH"]
    assert not [name for name in found if os.environ[name] == "a launcher's"]


@pytest.mark.parametrize(("share", "more"), [(0.4, {"gpu_memory_utilization": 0.4}), (None, {})])
def test_vllm_on_a_gpu_gets_the_share_of_memory_that_is_free(
    share: float | None, more: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A double of vLLM on CUDA: it is not limited as on a CPU, and shares the GPU with the student."""
    started: list[dict[str, Any]] = []

    def start(_model: str, **options: Any) -> SimpleNamespace:
        started.append(options)
        return SimpleNamespace(llm_engine="engine")

    platforms = SimpleNamespace(current_platform=SimpleNamespace(device_type="cuda"))
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=start))
    monkeypatch.setitem(sys.modules, "vllm.platforms", platforms)
    monkeypatch.setenv("VLLM_WORKER_MULTIPROCESSING_METHOD", "spawn")
    monkeypatch.setenv(SAMPLED_ONLY, "0")  # restored afterwards
    settings = dataclasses.asdict(ModelSettings("model", device="cuda", dtype="bfloat16", memory_share=share))
    assert vllm_worker._start(settings) == "engine"
    (options,) = started
    plain = {"revision": None, "tokenizer_revision": None, "dtype": "bfloat16", "use_tqdm_on_load": False}
    assert options == {**plain, **more}


@pytest.mark.parametrize("asked", [True, False])
def test_ranks_are_not_computed_where_nobody_reads_them(asked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A double of vLLM's sampler: its own method still serves requests for more than the sampled token."""

    class Sampler:
        @staticmethod
        def gather_logprobs(_logprobs: torch.Tensor, _number: int, _tokens: torch.Tensor) -> str:
            return "vLLM's own"

    monkeypatch.setenv(SAMPLED_ONLY, "1" if asked else "")
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "vllm.v1", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "vllm.v1.sample", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "vllm.v1.outputs", SimpleNamespace(LogprobsTensors=lambda *parts: parts))
    monkeypatch.setitem(sys.modules, "vllm.v1.sample.sampler", SimpleNamespace(Sampler=Sampler))
    skip_ranks()
    logprobs, tokens = torch.tensor([[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0]]), torch.tensor([2, 0])
    found: Any = Sampler.gather_logprobs(logprobs, 0, tokens)
    if not asked:
        assert found == "vLLM's own"
        return
    assert found[0].tolist() == [[2], [0]]
    assert found[1].tolist() == [[-3.0], [-4.0]]
    assert found[2].tolist() == [1, 1]
    assert Sampler.gather_logprobs(logprobs, 2, tokens) == "vLLM's own"
