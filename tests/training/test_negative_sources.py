"""Negative adapters by source: the teacher's or the student's wrong rationales, random weights, or none."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nsad_cli.errors import NsadError, UsageError
from nsad_cli.generation.sampler import Sampling
from nsad_cli.inference.sampling import sampling_key
from nsad_cli.inference.session import Session
from nsad_cli.models.nat.layer import weight_of
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.pipeline.plan import make_plan
from nsad_cli.problems import arithmetic
from nsad_cli.runs.run import Run
from nsad_cli.store.chains import ChainStore
from nsad_cli.training.untrained_negative import RANDOM_SIZE
from nsad_cli.types import Chain
from tests.helpers.tiny_recipes import recipe


def made(folder: Any, source: str) -> Run:
    training = recipe(folder).training.model_dump()
    training["negative"] |= {"source": source, "own_samples": 4}
    return Run.create(source, recipe(folder, training=training))


def test_own_wrong_chains_train_the_negative_adapter(tiny_llama: Any) -> None:
    run = made(tiny_llama, "own")
    run_stages(run, ["collect", "grade", "positive"])
    key = {"model": "positive", "model_key": Session(run).model_key("positive")}
    with ChainStore(run.chains_path) as store:
        for problem in arithmetic.problems("train", 20):
            answers = [problem.answer, "-1", "-1", "-2"]
            chains = [
                Chain(problem.id, i, f"The answer is {a}.", a, correct=a == problem.answer)
                for i, a in enumerate(answers)
            ]
            store.put(problem, chains, **key, sampling=sampling_key(Sampling(0.7, 1.0, 8), 0))
    (planned,) = [stage for stage in make_plan("own", run.recipe).stages if stage.stage == "negative"]
    result = run_stages(run, ["negative", "nat"])["negative"]
    # Two distinct wrong texts of each problem, of which two problems are held out.
    assert (result["examples"], result["held_out"]) == (2 * 18, 2 * 2)
    assert result["steps"] > 0
    assert planned.samples
    assert {"positive", "negative", "nat"} <= set(run.stages())


def test_what_own_negatives_need_is_trained_first(tiny_llama: Any) -> None:
    run = made(tiny_llama, "own")
    with pytest.raises(NsadError, match="no wrong chain") as error:
        # The tiny student writes no answer, so that none of its chains is wrong.
        run_stages(run, ["collect", "grade", "negative"])
    assert "own_samples" in error.value.fix
    assert run.stages()["positive"]["state"] == "finished"


@pytest.mark.parametrize("source", ["random", "none"])
def test_negative_adapters_without_training(tiny_llama: Any, source: str) -> None:
    run = made(tiny_llama, source)
    planned = {stage.stage: stage for stage in make_plan(source, run.recipe).stages}
    assert planned["negative"].samples == 0
    assert not any("no training data" in note for note in make_plan(source, run.recipe).notes)
    results = run_stages(run, ["collect", "grade", "negative", "nat"])
    assert results["negative"]["steps"] == results["negative"]["tokens"] == 0
    assert results["nat"]["steps"] > 0
    session = Session(run)
    session.load("nat")
    for _, layer in session.adapters.layers:
        b, a = weight_of(layer.lora_B, "negative"), weight_of(layer.lora_A, "negative")
        size = torch.linalg.matrix_norm(layer.get_delta_weight("negative"))
        share = (size / torch.linalg.matrix_norm(layer.get_base_layer().weight)).item()
        assert a.abs().max() > 0
        assert share == pytest.approx(RANDOM_SIZE if source == "random" else 0, abs=1e-6)
        assert bool(b.any()) == (source == "random")
    again = run_stages(run, ["negative"])["negative"]
    assert again == results["negative"]


def test_the_source_is_part_of_the_key_except_the_papers(tiny_llama: Any) -> None:
    keys = set()
    for source in ("teacher", "random", "none"):
        run = made(tiny_llama, source)
        run_stages(run, ["collect", "grade", "negative"])
        keys.add(run.stages()["negative"]["key"])
    assert len(keys) == 3
    plain = recipe(tiny_llama).training.negative
    assert not {"source", "own_samples"} & set(plain.key_values()), "runs of earlier versions keep their keys"


def test_an_unknown_source_is_refused(tiny_llama: Any) -> None:
    with pytest.raises(UsageError, match=r"training\.negative\.source"):
        made(tiny_llama, "students")


def test_random_weights_need_the_weights_of_the_base(tiny_llama: Any) -> None:
    student = {"model": str(tiny_llama), "device": "cpu", "load_in_4bit": True}
    training = {**recipe(tiny_llama).training.model_dump(), "negative": {"source": "random"}}
    with pytest.raises(UsageError, match="load_in_4bit"):
        recipe(tiny_llama, student=student, training=training)


def test_the_number_of_own_chains_counts_for_own_chains_alone(tiny_llama: Any) -> None:
    training = recipe(tiny_llama).training
    for source, counted in (("teacher", False), ("own", True)):
        negative = training.negative.model_copy(update={"source": source, "own_samples": 3})
        assert ("own_samples" in negative.key_values()) is counted
