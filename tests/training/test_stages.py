"""Every stage on a tiny model: it learns, repeats exactly, survives SIGKILL, and tells what went wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from nsad_cli.config.schema import AdapterConfig, Recipe
from nsad_cli.config.stages import RUN_ORDER
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.evaluation.measure import load_benchmarks
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.inference.sampling import sampling_key
from nsad_cli.inference.session import Session
from nsad_cli.pipeline.pipeline import Pipeline, run_stages
from nsad_cli.problems import arithmetic
from nsad_cli.runs.run import Run
from nsad_cli.store.chains import ChainStore
from nsad_cli.training.likelihood import CompletionObjective
from nsad_cli.training.sharding import shard_base
from nsad_cli.types import Chain
from tests.helpers.killed_runs import killed_in_turn
from tests.helpers.notes import recorded_notes
from tests.helpers.tiny_recipes import STAGE, recipe
from tests.helpers.trained_weights import assert_same_weights, weights


@pytest.fixture(scope="module")
def finished(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, Any], list[str]]:
    """One whole run, shared by the tests that only read it."""
    home = tmp_path_factory.mktemp("home")
    os.environ["NSAD_HOME"] = str(home)
    run = Run.create("whole", recipe(tiny_llama))
    notes = recorded_notes()
    results = run_stages(run, RUN_ORDER)
    return run, results, notes


def test_every_stage_leaves_what_the_next_one_needs(finished: tuple[Run, dict[str, Any], list[str]]) -> None:
    run, results, notes = finished
    assert list(run.stages()) == list(RUN_ORDER)
    assert all(state["state"] == "finished" for state in run.stages().values())
    names = {"negative", "nat", "nce", "ranker"}
    assert {path.name for path in (run.path / "adapters").iterdir()} == names
    assert {path.suffix for name in names for path in run.adapter_path(name).iterdir()} <= {".json", ".safetensors"}
    assert not list((run.path / "checkpoints").glob("*")), "finished stages keep no checkpoints"
    assert any("teacher's rationales are added" in note for note in notes)
    rows = results["eval-before"]["results"] + results["eval"]["results"]
    assert {row["model"] for row in rows} == {"base", "nat", "nce"}
    assert {row["rule"] for row in rows if row["model"] == "nce"} == {
        None,
        "sc",
        "wsc",
        "asc",
        "asc-add",
        "asc-add2",
        "best",
        "any",
        "mean",
    }


def test_it_learns(finished: tuple[Run, dict[str, Any], list[str]]) -> None:
    run, results, _ = finished
    for stage in ("negative", "nat", "nce"):
        losses = [
            event.metrics["loss"] for event in run.events.read() if event.stage == stage and "loss" in event.metrics
        ]
        held = [
            e.metrics["held_out_loss"] for e in run.events.read() if e.stage == stage and "held_out_loss" in e.metrics
        ]
        assert len(losses) == results[stage]["steps"]
        assert losses[-1] < losses[0] - 0.05
        assert results[stage]["held_out_loss"] == pytest.approx(min(held))
        assert len(held) == STAGE["checks"], "each check measures once"
    effects = {e.step: e.metrics["negative_effect"] for e in run.events.read() if "negative_effect" in e.metrics}
    assert results["nat"]["negative_effect"] == effects[results["nat"]["best_step"]], "that of the kept weights"
    assert "negative_effect" not in results["nce"]


def test_events_hold_what_a_dashboard_needs(finished: tuple[Run, dict[str, Any], list[str]]) -> None:
    run, *_ = finished
    lines = (run.path / "events.jsonl").read_text().splitlines()
    steps = [json.loads(line) for line in lines]
    common = {"loss", "learning_rate", "grad_norm", "tokens_per_second"}
    common |= {"cpu_percent", "memory_gib", "memory_total_gib", "process_gib"}
    for stage, more in (("negative", set()), ("nat", {"alpha"}), ("nce", {"beta"}), ("ranker", {"pair_accuracy"})):
        metrics = [step["metrics"] for step in steps if step["stage"] == stage and "loss" in step["metrics"]]
        assert metrics, stage
        assert all(common | more <= set(item) for item in metrics), stage
        if stage == "nat":
            assert len(metrics[-1]["alpha"]) == 4
        if stage == "nce":
            quantiles = metrics[-1]["beta"]
            assert 0 <= quantiles["q05"] <= quantiles["q50"] <= quantiles["q95"] <= 1


def test_running_again_does_nothing(finished: tuple[Run, dict[str, Any], list[str]]) -> None:
    run, results, _ = finished
    before = (run.path / "events.jsonl").read_bytes()
    notes = recorded_notes()
    assert run_stages(run, RUN_ORDER)["nce"] == results["nce"]
    assert (run.path / "events.jsonl").read_bytes() == before
    assert sum("already done" in note for note in notes) == len(RUN_ORDER)


def test_the_same_seed_gives_the_same_adapters_and_another_seed_others(
    finished: tuple[Run, dict[str, Any], list[str]], tiny_llama: Path
) -> None:
    first = weights(finished[0])
    run = Run.create("twin", recipe(tiny_llama))
    run_stages(run, RUN_ORDER[:-1])
    again = weights(run)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) for key in first)
    other = Run.create("other", recipe(tiny_llama, seed=1))
    run_stages(other, ["collect", "grade", "negative"])
    theirs = weights(other)
    assert any(not torch.equal(first[key], value) for key, value in theirs.items())


@pytest.mark.slow
def test_killed_in_every_stage_it_resumes_to_the_same_adapters(
    finished: tuple[Run, dict[str, Any], list[str]], tiny_llama: Path
) -> None:
    run = Run.create("killed", recipe(tiny_llama))
    killed_in_turn(run, ("negative", "nat", "nce", "ranker"), longest=0.2)
    assert_same_weights(finished[0], run)


@pytest.mark.slow
def test_smollm2_killed_resumes_to_the_same_adapter() -> None:
    stage = {**STAGE, "epochs": 1, "batch_size": 2, "learning_rate": 1e-3, "max_examples": 8, "checks": 4}
    adapter = {"targets": ["q_proj", "v_proj"], "dropout": 0.1}
    settings = recipe(Path("smollm2"), training={"max_held_out": 1, "negative": stage, "nat": stage}, adapter=adapter)
    whole = Run.create("whole", settings)
    run_stages(whole, ["collect", "grade", "negative"])
    killed = Run(Path(shutil.copytree(whole.path, whole.path.with_name("killed"))))
    run_stages(whole, ["nat"])
    killed_in_turn(killed, ["nat"], longest=1.0)
    assert_same_weights(whole, killed)


def test_killed_while_an_old_checkpoint_goes_it_resumes_from_a_whole_one(
    finished: tuple[Run, dict[str, Any], list[str]], tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.create("halved", recipe(tiny_llama))
    run_stages(run, ["collect", "grade"])
    half: list[Path] = []

    def stop_half_way(folder: Path, **_: Any) -> None:
        if folder.name.startswith("checkpoint-"):
            (folder / "trained.safetensors").unlink()
            half.append(folder)
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", stop_half_way)
        with pytest.raises(KeyboardInterrupt):
            run_stages(run, ["negative"])
    assert half
    assert not (half[0] / "complete").exists()
    notes = recorded_notes()
    run_stages(Run(run.path), ["negative"])
    assert any("resuming at step" in note for note in notes)
    expected = load_file(finished[0].adapter_path("negative") / "adapter_model.safetensors")
    found = load_file(run.adapter_path("negative") / "adapter_model.safetensors")
    assert all(torch.equal(expected[key], found[key]) for key in expected)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_keeps_a_checkpoint(
    finished: tuple[Run, dict[str, Any], list[str]], tiny_llama: Path, number: signal.Signals
) -> None:
    run = Run.create("stopped", recipe(tiny_llama))
    run_stages(run, ["collect", "grade"])

    def interrupt(event: Any) -> None:
        if event.stage == "negative" and event.step == 2:
            signal.raise_signal(number)

    run.events.subscribe(interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_stages(run, ["negative"])
    assert run.stages()["negative"]["state"] == "interrupted"
    (checkpoint,) = (run.path / "checkpoints" / "negative").glob("checkpoint-*")
    assert checkpoint.name in ("checkpoint-2", "checkpoint-3")
    assert (checkpoint / "complete").exists()
    notes = recorded_notes()
    run_stages(Run(run.path), ["negative"])
    assert any("resuming at step" in note for note in notes)
    expected = load_file(finished[0].adapter_path("negative") / "adapter_model.safetensors")
    found = load_file(run.adapter_path("negative") / "adapter_model.safetensors")
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def with_negative(model: Path, **changes: Any) -> Recipe:
    """The recipe with other settings for the negative adapter."""
    training = recipe(model).training.model_dump()
    return recipe(model, training={**training, "negative": {**STAGE, **changes}})


def test_what_fits_into_a_pack_does_not_matter(tiny_llama: Path) -> None:
    """A step of 8 sequences whole, and one by one: the same losses but for rounding."""
    losses = []
    for name, tokens in (("whole-batches", 10_000), ("one-by-one", 1)):
        run = Run.create(name, with_negative(tiny_llama, pack_tokens=tokens, learning_rate=1e-3))
        run.write_recipe(run.recipe.model_copy(update={"adapter": AdapterConfig(dropout=0)}))
        run_stages(run, ["collect", "grade", "negative"])
        losses.append([e.metrics["loss"] for e in run.events.read() if e.stage == "negative" and "loss" in e.metrics])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_what_a_model_was_trained_on_is_never_evaluated(tiny_llama: Path) -> None:
    """Not even after a later collection into the run has failed."""
    run = Run.create("leak", recipe(tiny_llama))
    run_stages(run, ["collect", "grade", "negative"])
    with pytest.raises(NsadError), run.stage("collect", "another"):
        raise NsadError("a", "b", "c")
    notes = recorded_notes()
    ((label, problems),) = load_benchmarks(run, ["arithmetic:train"], None)
    assert label == "arithmetic:train"
    assert "used in training" in notes[0]
    assert problems
    learned = set(run.stages()["negative"]["result"]["problem_ids"])
    assert learned
    assert not learned & {problem.id for problem in problems}


def test_retraining_upstream_makes_what_follows_stale(tiny_llama: Path) -> None:
    run = Run.create("stale", recipe(tiny_llama))
    run_stages(run, ["collect", "grade", "negative", "nat"])
    run.write_recipe(with_negative(tiny_llama, epochs=1))
    notes = recorded_notes()
    run_stages(Run(run.path), ["negative", "nat"])
    assert not any("already done" in note for note in notes)


def test_nats_own_right_chains_join_nces_data(tiny_llama: Path) -> None:
    training = recipe(tiny_llama).training.model_dump()
    run = Run.create("own", recipe(tiny_llama))
    results = run_stages(run, ["collect", "grade", "negative", "nat", "nce"])
    run.write_recipe(recipe(tiny_llama, training={**training, "nce": {**STAGE, "self_samples": 2}}))
    problems = list(arithmetic.problems("train", 20))
    key = {"model": "nat", "model_key": Session(run).model_key("nat")}
    sampling = sampling_key(Sampling(0.7, 1.0, 8), 0)
    with ChainStore(run.chains_path) as store:  # a random model is never right: two right chains and a wrong one
        for i, problem in enumerate(problems):
            texts = [f"So it is. The answer is {problem.answer if i < 9 else 'none'}.", "The answer is -1."]
            chains = [Chain(problem.id, j, text, None, logprobs=(-1.0,)) for j, text in enumerate(texts)]
            store.put(problem, chains, **key, sampling=sampling)
    notes = recorded_notes()
    again = run_stages(Run(run.path), ["negative", "nat", "nce"])
    assert sum("already done" in note for note in notes) == 2
    joined = again["nce"]["examples"] - results["nce"]["examples"]
    assert 6 <= joined <= 9, "each right text once, those of held-out problems left out"


def test_an_edited_recording_is_collected_again(tiny_llama: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    line = {"question": "1+1?", "answer": "2", "generated_answer": ["The answer is 2."]}
    path.write_text(json.dumps(line))
    run = Run.create("edited", recipe(tiny_llama, problems={}, teacher={"spec": f"jsonl:{path}", "draws": 2}))
    run_stages(run, ["collect", "grade"])
    path.write_text(json.dumps({**line, "answer": "3", "generated_answer": ["The answer is 2.", "The answer is 3."]}))
    ledger = run_stages(run, ["collect", "grade"])["grade"]["ledger"]
    assert ledger["verdicts"] == {"wrong": 1, "correct": 1}


def test_empty_sides_are_told(tiny_llama: Path, tmp_path: Path) -> None:
    for name, answer, stage in (("all-right", "2", "negative"), ("all-wrong", "3", "nat")):
        rows = [
            {"question": f"{i}: 1+1?", "answer": "2", "generated_answer": [f"The answer is {answer}."]}
            for i in range(9)
        ]
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        run = Run.create(name, recipe(tiny_llama, problems={}, teacher={"spec": f"jsonl:{path}", "draws": 1}))
        with pytest.raises(NsadError, match="is empty") as error:
            run_stages(run, ["collect", "grade", "negative", "nat"])
        assert error.value.what.startswith(stage)


def test_a_loss_that_is_not_finite_stops_and_is_told(tiny_llama: Path) -> None:
    changes = {**recipe(tiny_llama).training.model_dump(), "negative": {**STAGE, "learning_rate": 1e30}}
    run = Run.create("diverged", recipe(tiny_llama, training=changes))
    with pytest.raises(NsadError, match="not finite") as error:
        run_stages(run, ["collect", "grade", "negative"])
    assert "learning_rate" in error.value.fix
    assert run.stages()["negative"]["state"] == "failed"


def test_a_trained_adapter_samples_as_a_loaded_one(tiny_llama: Path) -> None:
    """Its weights are frozen, so that chains do not depend on whether the process has trained the adapter itself."""
    student = {"model": str(tiny_llama), "device": "cpu", "dtype": "bfloat16"}
    run = Run.create("sampled", recipe(tiny_llama, student=student))
    with run.lock():
        pipeline = Pipeline(run)
        for stage in ("collect", "grade", "negative", "nat"):
            pipeline.step(stage)
    chains = []
    for session in (pipeline.session, Session(run)):
        tasks = [Task("one", "Tom has 3 apples . How many ?", (0, 1, 2))]
        found = session.sampler("nat").sample(tasks, Sampling(1.0, 1.0, 12), seed="a")
        chains.append([(chain.index, chain.text, chain.logprobs) for chain in found])
        assert not any(parameter.requires_grad for parameter in session.student.model.parameters())
    assert sorted(chains[0]) == sorted(chains[1])


def test_a_bfloat16_base_trains_every_stage_with_float32_adapters(tiny_llama: Path) -> None:
    student = {"model": str(tiny_llama), "device": "cpu", "dtype": "bfloat16"}
    run = Run.create("half", recipe(tiny_llama, student=student))
    results = run_stages(run, RUN_ORDER)
    assert all(results[stage]["held_out_loss"] > 0 for stage in ("negative", "nat", "nce", "ranker"))
    assert {value.dtype for value in weights(run).values()} == {torch.float32}


@pytest.mark.parametrize("student", [{"dtype": "float16"}, {"load_in_4bit": True}])
def test_what_cannot_be_trained_is_told_before_anything_is_collected(
    student: dict[str, Any], tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nsad_cli.pipeline.pipeline.SHARDED", True)
    run = Run.create("never", recipe(tiny_llama, student={"model": str(tiny_llama), "device": "cpu", **student}))
    with pytest.raises(NsadError, match=r"float16|4-bit"):
        run_stages(run, ["collect", "grade", "negative"])
    assert "collect" not in run.stages()


def test_a_base_that_runs_no_packs_is_not_sharded(tiny_llama: Path) -> None:
    session = Session(Run.create("eager", recipe(tiny_llama)))
    session.student.model.set_attn_implementation("eager")
    session.adapters.add_lora("negative", session.adapter_settings, 0)
    with pytest.raises(NsadError, match="cannot be sharded"):
        shard_base(session.adapters, CompletionObjective(session.adapters, "negative"))


def test_a_session_that_forgets_its_student_lets_go_of_its_memory(
    finished: tuple[Run, dict[str, Any], list[str]],
) -> None:
    session = Session(finished[0])
    ranker = session.ranker()
    assert ranker is not None
    model = weakref.ref(session.student.model)
    del ranker
    session.reload()
    assert model() is None


def test_a_stage_before_its_time_names_the_command(tiny_llama: Path) -> None:
    run = Run.create("early", recipe(tiny_llama))
    with pytest.raises(UsageError) as error:
        run_stages(run, ["nce"])
    assert "nsad" in error.value.fix


def test_two_processes_do_not_write_one_run(tiny_llama: Path) -> None:
    run = Run.create("busy", recipe(tiny_llama))
    with run.lock(), pytest.raises(NsadError, match="in use"):
        run_stages(Run(run.path), ["collect"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_a_checkpoint_is_told_and_the_run_resumes(tiny_llama: Path) -> None:
    run = Run.create("full", recipe(tiny_llama))
    run_stages(run, ["collect", "grade"])
    planted: list[Path] = []

    def fill_the_disk(event: Any) -> None:
        if event.stage == "negative" and event.step == event.total - 1:
            planted.append(run.path / "checkpoints" / "negative" / f"checkpoint-{event.total}" / "optimizer.pt")
            planted[0].parent.mkdir(parents=True)
            planted[0].symlink_to("/dev/full")

    run.events.subscribe(fill_the_disk)
    with pytest.raises(NsadError) as error:
        run_stages(run, ["negative"])
    assert "the disk is full" in error.value.why
    assert "same command" in error.value.fix
    assert run.stages()["negative"]["state"] == "failed"
    planted[0].unlink()
    notes = recorded_notes()
    run_stages(Run(run.path), ["negative"])
    assert any("resuming at step" in note for note in notes)
    assert run.stages()["negative"]["state"] == "finished"
