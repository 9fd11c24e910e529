"""A whole run samples by its own engine: vLLM's double writes the chains, and a resumed run keeps to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.config.stages import EVAL_BEFORE
from nsad_cli.errors import NsadError
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.pipeline.preflight import preflight
from nsad_cli.runs.run import Run
from nsad_cli.types import Chain, Finish
from tests.helpers.notes import recorded_notes
from tests.helpers.tiny_recipes import STAGE, recipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nsad_cli.generation.sampler import Sampling, Task

Sampled = list[tuple[str, str, int]]


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> Sampled:
    """The chains (model, problem, index) that a double of the vLLM engine has written."""
    found: Sampled = []

    class Double:
        plans_batches = False

        def __init__(self, _student: Any, model: str) -> None:
            self.model = model

        def sample(self, tasks: Sequence[Task], _: Sampling, **__: Any) -> Iterator[Chain]:
            for task in tasks:
                for index in () if task.cached else task.indices:
                    found.append((self.model, task.problem_id, index))
                    yield Chain(task.problem_id, index, "The answer is 1.", None, Finish.STOP, (16,), (-1.0,))

    monkeypatch.setattr("nsad_cli.inference.session.vllm_model", lambda _run, _recipe, _reader, name, _write: name)
    monkeypatch.setattr("nsad_cli.inference.session.VllmSampler", Double)
    return found


def student(model: Path, engine: str) -> dict[str, Any]:
    return {"model": str(model), "device": "cpu", "dtype": "float32", "engine": engine}


def test_a_resumed_run_keeps_its_engine(tiny_llama: Path, sampled: Sampled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsad_cli.runs.run.default_engine", lambda _: "vllm")
    run_stages(Run.create("one", recipe(tiny_llama, student=student(tiny_llama, "auto"))), [EVAL_BEFORE.name])
    assert len(sampled) == 4
    monkeypatch.setattr("nsad_cli.runs.run.default_engine", lambda _: "hf")
    run = Run.create("one", recipe(tiny_llama, student=student(tiny_llama, "auto")))
    notes = recorded_notes()
    run_stages(run, [EVAL_BEFORE.name])
    assert any("already done" in note for note in notes)
    run_stages(run, [EVAL_BEFORE.name], force=True)
    assert len(sampled) == 4, "its chains are stored under the engine's key"
    run = Run.create("one", recipe(tiny_llama, student=student(tiny_llama, "hf")))
    notes.clear()
    run_stages(run, [EVAL_BEFORE.name])
    assert not any("already done" in note for note in notes), "another engine samples other chains"
    assert len(sampled) == 4


def test_chains_to_learn_from_are_the_engines(tiny_llama: Path, sampled: Sampled) -> None:
    training = {**recipe(tiny_llama).training.model_dump(), "nce": {**STAGE, "self_samples": 2}}
    run = Run.create("own", recipe(tiny_llama, student=student(tiny_llama, "vllm"), training=training))
    run_stages(run, ["collect", "grade", "negative", "nat", "nce"])
    assert {model for model, _, _ in sampled} == {"nat"}
    key = run.stages()["nce"]["key"]
    count = len(sampled)
    run.write_recipe(recipe(tiny_llama, student=student(tiny_llama, "hf"), training=training))
    run_stages(Run(run.path), ["nce"])
    assert run.stages()["nce"]["key"] != key
    assert len(sampled) == count


def test_a_missing_vllm_is_reported_before_the_first_stage(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "vllm" else object())
    wanted = recipe(tiny_llama, student=student(tiny_llama, "vllm"))
    with pytest.raises(NsadError, match="vllm") as caught:
        preflight(wanted, ["negative"], None)
    assert "set student.engine to hf" in caught.value.fix
