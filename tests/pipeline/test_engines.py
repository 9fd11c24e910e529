"""The engines of a recipe: chains for training and for evaluation, each from its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.config.recipes import load_recipe
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.evaluation.measure import evaluate_run
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.pipeline.preflight import preflight
from nsad_cli.runs.run import Run
from nsad_cli.store.chains import ChainStore
from tests.helpers.completions_server import running
from tests.helpers.nsad_process import failure, run_nsad
from tests.helpers.tiny_recipes import recipe

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.config.schema import Recipe

STAGES = ["collect", "grade", "negative", "nat", "nce", "eval"]


def with_engines(model: Path, sampling: str | None, evaluation: str | None) -> Recipe:
    training: dict[str, Any] = recipe(model).training.model_dump()
    training["nce"]["self_samples"] = 1
    evaluated = {"benchmarks": ["arithmetic:test"], "limit": 3, "samples": 2, "models": ["nce"]}
    return recipe(
        model,
        training=training,
        sampling={"max_new_tokens": 8, "engine": sampling},
        evaluation={**evaluated, "engine": evaluation},
    )


def sampled_by(run: Run) -> dict[str, set[str]]:
    """The engines that the run's chains are of, by model."""
    with ChainStore(run.chains_path) as store:
        rows = store._db._connection.execute("SELECT DISTINCT model, model_key FROM chains").fetchall()
    found: dict[str, set[str]] = {}
    for model, key in rows:
        found.setdefault(model, set()).add(key.partition("@")[2] or "hf")
    return found


def test_chains_for_training_and_evaluation_come_from_their_engines(tiny_llama: Path, tmp_path: Path) -> None:
    with running(tiny_llama, tmp_path) as (url, log):
        run = Run.create("served", with_engines(tiny_llama, f"server@{url}", None))
        run_stages(run, STAGES)
        asked = [json.loads(line) for line in log.read_text().splitlines()]
    problems = set(run.stages()["collect"]["result"]["problem_ids"])
    assert 0 < len(asked) <= len(problems), "one chain of NAT for each training problem"
    assert {body["model"] for body in asked} == {"nat"}
    assert sampled_by(run) == {"nat": {"server"}, "nce": {"hf"}}


def test_the_address_of_a_server_is_no_part_of_a_key(tiny_llama: Path, tmp_path: Path) -> None:
    with running(tiny_llama, tmp_path) as (url, log):
        spec = f"server@{url}"
        run = Run.create("served", with_engines(tiny_llama, spec, spec))
        run_stages(run, STAGES)
        before, keys = log.read_text(), {name: state["key"] for name, state in run.stages().items()}
    with running(tiny_llama, tmp_path) as (url, log):
        spec = f"server@{url},{url}"
        run_stages(Run.create("served", with_engines(tiny_llama, spec, spec)), STAGES)
        assert log.read_text() == before, "nothing is requested again"
        assert {name: state["key"] for name, state in run.stages().items()} == keys
    assert sampled_by(run)["nce"] == {"server"}


def test_recipes_without_engines_keep_their_keys(tiny_llama: Path) -> None:
    from nsad_cli.utils.hashing import content_key

    plain = recipe(tiny_llama).sampling
    assert plain.engine is None
    assert content_key(plain) == content_key(plain.model_copy(update={"engine": "vllm"}))
    assert "engine" not in plain.key_values()


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    for setting in ("sampling.engine", "evaluation.engine"):
        with pytest.raises(UsageError, match="no engine of this name"):
            load_recipe(None, {setting: "tensorrt"})
        with pytest.raises(UsageError, match="by its name in the run"):
            load_recipe(None, {setting: "server:nce@http://localhost:8000/v1"})
        with pytest.raises(UsageError, match="must not contain a key or password"):
            load_recipe(None, {setting: "server@http://me:secret@localhost:8000/v1"})
    result = run_nsad(tmp_path / "home", "run", "demo", "--engine", "tensorrt", "--plan")
    assert "engines: hf (transformers), vllm, server" in " ".join(failure(result, 2))


def test_one_served_model_is_not_evaluated_as_several(tiny_llama: Path) -> None:
    run = Run.create("r", recipe(tiny_llama))
    run_stages(run, ["collect", "grade", "negative", "nat"])
    with pytest.raises(UsageError, match="is one model, and 2 are to be evaluated"):
        evaluate_run(
            run,
            ["arithmetic:test"],
            ["base", "nat"],
            1,
            0,
            engine="server:m@http://localhost:1/v1",
            stop_at=0.9,
            wave=1,
        )


def test_vllm_that_is_missing_is_reported_before_anything_is_spent(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None if name == "vllm" else object())
    with pytest.raises(NsadError) as error:
        preflight(with_engines(tiny_llama, "vllm", None), STAGES, "r")
    assert "sampling.engine" in error.value.what + error.value.why
