"""Students whose frozen base is in 4 bits load, train, save, resume and answer."""

from __future__ import annotations

import importlib.util
import signal
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file

from nsad_cli.errors import NsadError
from nsad_cli.inference.export import export_lora, export_merged
from nsad_cli.inference.session import Session
from nsad_cli.models.student import load_student
from nsad_cli.pipeline.memory import NF4, measure
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.runs.run import Run
from tests.helpers.notes import recorded_notes
from tests.helpers.tiny_recipes import recipe

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed: no students in 4 bits"
)
STUDENT = {"load_in_4bit": True, "device": "cpu"}


def test_the_base_is_in_four_bits_and_the_head_is_not(tiny_llama: Path) -> None:
    student = load_student(str(tiny_llama), device="cpu", load_in_4bit=True)
    layer = student.model.model.layers[0]
    assert layer.self_attn.q_proj.weight.dtype == torch.uint8
    assert student.model.get_output_embeddings().weight.dtype == torch.float32
    whole = load_student(str(tiny_llama), device="cpu").model
    ids = torch.arange(4, 40)[None]
    with torch.no_grad():
        difference = (student.model(ids).logits - whole(ids).logits).abs().mean() / whole(ids).logits.abs().mean()
    assert 0 < difference < 0.3


@pytest.mark.slow
def test_a_run_in_four_bits_trains_on_what_it_answers_with(tiny_llama: Path, tmp_path: Path) -> None:
    values = recipe(tiny_llama)
    student = values.student.model_copy(update=STUDENT)
    run = Run.create("packed", values.model_copy(update={"student": student}))
    results = run_stages(run, ["collect", "grade", "eval-before", "negative", "nat", "nce", "ranker", "eval"])
    for stage in ("negative", "nat", "nce"):
        losses = [
            event.metrics["loss"] for event in run.events.read() if event.stage == stage and "loss" in event.metrics
        ]
        norms = [event.metrics["grad_norm"] for event in run.events.read() if "grad_norm" in event.metrics]
        assert losses[-1] < losses[0], stage
        assert min(norms) > 0, stage
        assert results[stage]["trained_parameters"] > 0
    export_lora(Session(run), tmp_path / "lora")
    with pytest.raises(NsadError, match="cannot be merged"):
        export_merged(Session(run), tmp_path / "merged")


@pytest.mark.slow
def test_interrupted_in_four_bits_it_resumes_to_the_same_adapter(tiny_llama: Path) -> None:
    values = recipe(tiny_llama)
    settings = values.model_copy(update={"student": values.student.model_copy(update=STUDENT)})
    whole, stopped = Run.create("whole", settings), Run.create("stopped", settings)
    run_stages(whole, ["collect", "grade", "negative"])
    stopped.events.subscribe(lambda event: signal.raise_signal(signal.SIGINT) if event.step == 2 else None)
    with pytest.raises(KeyboardInterrupt):
        run_stages(stopped, ["collect", "grade", "negative"])
    notes = recorded_notes()
    run_stages(Run(stopped.path), ["negative"])
    assert any("resuming at step" in note for note in notes)
    one, other = (load_file(run.adapter_path("negative") / "adapter_model.safetensors") for run in (whole, stopped))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_plan_counts_four_bits(tiny_llama: Path) -> None:
    settings = Session(Run.create("shapes", recipe(tiny_llama))).adapter_settings
    whole, packed = (
        measure(load_student(str(tiny_llama), weights=False, device="cpu").model, settings, four_bits)
        for four_bits in (False, True)
    )
    layers = load_student(str(tiny_llama), device="cpu").model.model.layers
    linear = sum(parameter.numel() for parameter in layers.parameters() if parameter.dim() == 2)
    assert whole.base_bytes == whole.base * whole.bytes_each
    assert whole.base_bytes - packed.base_bytes == pytest.approx(linear * (whole.bytes_each - NF4))


def test_without_bitsandbytes_it_is_told(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "bitsandbytes" else find(name, *a)
    )
    with pytest.raises(NsadError, match="4 bits"):
        load_student(str(tiny_llama), device="cpu", load_in_4bit=True)
