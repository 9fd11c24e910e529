"""A plan says what the run then does, counts what is done, and changes nothing."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any

import pytest
import torch

from nsad_cli.collection.collect import collect, params_key
from nsad_cli.config.choices import DEVICE_PROFILES
from nsad_cli.config.schema import RankerConfig, Recipe
from nsad_cli.config.stages import NAT, RUN_ORDER
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.models.nat.config import AdapterSettings
from nsad_cli.models.student import load_student
from nsad_cli.pipeline import plan as plan_module
from nsad_cli.pipeline import throughput
from nsad_cli.pipeline.device_profiles import PROFILES, estimated_speeds
from nsad_cli.pipeline.forecast import planned_teacher
from nsad_cli.pipeline.memory import measure
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.pipeline.plan import Plan, make_plan
from nsad_cli.pipeline.plan_training import expected_pairs
from nsad_cli.pipeline.throughput import Speeds
from nsad_cli.runs.run import Run, runs_home
from nsad_cli.store.rationales import Store
from nsad_cli.types import Draw, Problem
from tests.helpers.tiny_recipes import recipe

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.pipeline.plan_draft import StagePlan

TRAINED = ("negative", "nat", "nce", "ranker")


@pytest.fixture(autouse=True)
def no_known_speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure in every test: speeds of earlier runs of the tests are not used."""
    measure_always(monkeypatch)


def measure_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither read nor write the remembered speeds."""
    monkeypatch.setattr("nsad_cli.pipeline.plan_speed.known_speeds", lambda _: None)
    monkeypatch.setattr("nsad_cli.pipeline.plan_speed.remember_speeds", lambda *_: None)


def planned(name: str, settings: Recipe, **more: Any) -> tuple[Plan, dict[str, StagePlan]]:
    """A plan, and its stages by name."""
    plan = make_plan(name, settings, **more)
    return plan, {stage.stage: stage for stage in plan.stages}


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Each file's time and content."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }


@pytest.fixture(scope="module")
def story(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A plan before anything, the run's results, and where it lies."""
    os.environ["NSAD_HOME"] = str(tmp_path_factory.mktemp("home"))
    with pytest.MonkeyPatch.context() as patch:
        measure_always(patch)
        before, stages = planned("whole", recipe(tiny_llama))
    made_nothing = not any(runs_home().iterdir())
    run = Run.create("whole", recipe(tiny_llama))
    results = run_stages(run, RUN_ORDER)
    return {
        "before": before,
        "stages": stages,
        "made_nothing": made_nothing,
        "run": run,
        "results": results,
        "home": os.environ["NSAD_HOME"],
    }


def test_planning_makes_no_run(story: dict[str, Any]) -> None:
    assert story["made_nothing"]
    assert [stage.stage for stage in story["before"].stages] == list(RUN_ORDER)
    assert {stage.state for stage in story["before"].stages} == {"to do"}


def test_a_plan_says_what_it_writes(
    story: dict[str, Any], tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert story["before"].notes[-1] == "written to disk by this plan: nothing"
    cache = tmp_path / "cache"
    monkeypatch.setattr(plan_module, "_caches", lambda _recipe: [tmp_path / "other", cache])
    monkeypatch.setattr(plan_module, "measured_speeds", lambda _context: cache.mkdir())
    assert f"by this plan: {cache}, a cache" in planned("new", recipe(tiny_llama))[0].notes[-1]


def test_slow_steps_are_extrapolated_instead_of_measured(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "MAX_SECONDS", 0.0)
    monkeypatch.setattr(throughput, "MIN_SECONDS", 0.0)
    batches = []

    def sampling(*arguments: Any) -> float:
        batches.append(arguments[-1])
        return 7.0

    monkeypatch.setattr(throughput, "_sampling", sampling)
    student = load_student(str(tiny_llama), device="cpu")
    settings = AdapterSettings(targets=("q_proj",), r=2, alpha=2.0, dropout=0.0)
    more: dict[str, Any] = {"rows": 2, "prompt": 5, "completion": 5, "questions": ["1+1?"], "batch_size": 32}
    speeds = throughput.probe(student, settings, **more)
    assert speeds.extrapolated
    assert speeds.lora == pytest.approx(speeds.forward / 3)
    assert (speeds.sampling, batches) == (7.0, [1])


def test_the_run_does_what_was_planned(story: dict[str, Any]) -> None:
    stages, results = story["stages"], story["results"]
    assert stages["collect"].samples == results["collect"]["draws"] == stages["grade"].samples
    for name in ("negative", "nat", "nce"):
        assert stages[name].estimated == ()
        assert stages[name].samples == results[name]["examples"], name
        assert stages[name].tokens == results[name]["tokens"], name
        assert stages[name].steps == results[name]["steps"], name
        assert stages[name].warmup_steps == results[name]["warmup_steps"] == 1, name
    for name in TRAINED:
        found = stages[name].lora_parameters + stages[name].unit_parameters
        assert found == results[name]["trained_parameters"], name
    assert stages["nat"].unit_parameters > 0
    assert stages["nce"].unit_parameters == 0
    for name in ("eval-before", "eval"):
        rows = {(row["model"], row["method"]): row["n"] * row["samples"] for row in results[name]["results"]}
        rows = {key: chains for key, chains in rows.items() if key[1] != "samples"}  # the votes' own chains again
        assert stages[name].samples == sum(rows.values()), name
        assert "tokens" in stages[name].estimated
    assert stages["ranker"].samples <= 12
    assert "samples" in stages["ranker"].estimated


def test_every_stage_has_time_and_memory(story: dict[str, Any]) -> None:
    for stage in story["before"].stages:
        assert stage.seconds is not None
        assert stage.seconds >= 0
        assert stage.calls == 0
        assert stage.cost == 0.0
        assert (stage.memory_gib is not None) == (stage.stage not in ("collect", "grade"))
    assert sum(stage.seconds for stage in story["before"].stages) > 0
    assert any("rough" in note for note in story["before"].notes)


def test_what_is_done_is_reused_and_nothing_changes(
    story: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tiny_llama: Path
) -> None:
    monkeypatch.setenv("NSAD_HOME", story["home"])
    run, results = story["run"], story["results"]
    before = everything(run.path)

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("there is nothing to time")

    monkeypatch.setattr("nsad_cli.pipeline.throughput.probe", never)
    _, stages = planned("whole", recipe(tiny_llama))
    assert {stage.state for stage in stages.values()} == {"done"}
    assert all(stage.seconds == 0 and stage.calls == 0 for stage in stages.values())
    for name in TRAINED:
        assert stages[name].samples == results[name]["examples"]
        assert stages[name].tokens == results[name]["tokens"]
        assert stages[name].steps == results[name]["steps"]
        assert stages[name].own_samples == 0
    monkeypatch.undo()
    monkeypatch.setenv("NSAD_HOME", story["home"])
    _, stages = planned("whole", recipe(tiny_llama), force=True)
    assert {stage.state for stage in stages.values()} == {"to do"}
    assert everything(run.path) == before


def test_another_setting_redoes_its_stage_and_what_follows(
    story: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tiny_llama: Path
) -> None:
    monkeypatch.setenv("NSAD_HOME", story["home"])
    before = everything(story["run"].path)
    training = recipe(tiny_llama).training.model_dump()
    training["nce"]["lam"] = 0.25
    _, stages = planned("whole", recipe(tiny_llama, training=training))
    done = {name for name, stage in stages.items() if stage.state == "done"}
    assert done == {"collect", "grade", "eval-before", "negative", "nat"}
    assert stages["nce"].samples == story["results"]["nce"]["examples"]
    # NAT's weights stay, and with them its chains: one greedy and two sampled ones for each of four problems.
    assert stages["eval"].reused == 12
    assert stages["eval"].samples == 24
    assert everything(story["run"].path) == before


def test_a_checkpoint_saves_its_part(tiny_llama: Path) -> None:
    settings = recipe(tiny_llama)
    run = Run.create("stopped", settings)
    run_stages(run, ["collect", "grade"])

    def interrupt(event: Any) -> None:
        if event.stage == "negative" and event.step == 2:
            raise KeyboardInterrupt

    run.events.subscribe(interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_stages(run, ["negative"])
    folder = run.path / "checkpoints" / "negative" / "checkpoint-2"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "complete").touch()
    plan, stages = planned("stopped", settings)
    assert stages["collect"].state == "done"
    assert stages["negative"].state == "to do"
    assert any(note.startswith("negative: resumes at step 2 of ") for note in plan.notes)


def test_a_paid_teacher_is_never_asked_and_its_calls_are_counted(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("a plan asks no teacher")

    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    settings = recipe(tiny_llama, teacher={"spec": "gpt-4", "draws": 3})
    teacher = planned_teacher(settings.teacher)
    monkeypatch.setattr(type(teacher), "draw", never)
    plan, stages = planned("paid", settings)
    collection = stages["collect"]
    assert (collection.samples, collection.calls, collection.seconds) == (60, 20, None), "three draws share a request"
    # 60 draws at 60 dollars a million tokens, as long as the built-in solutions (20 to 60), and 20 prompts at 30.
    assert collection.cost is not None
    assert 60 * 20 * 60e-6 < collection.cost < 60 * 60 * 60e-6 + 20 * 300 * 30e-6
    assert any("expected, $4." in note and "at most (genai-prices)" in note for note in plan.notes)
    assert stages["negative"].estimated
    assert stages["negative"].samples > 0
    assert stages["negative"].samples + stages["nat"].samples < 60  # some are held out
    assert any("assumed" in note for note in plan.notes)
    assert not runs_home().exists()

    run = Run.create("paid", settings)
    monkeypatch.setattr(type(teacher), "draw", answer)
    with Store(run.store_path) as store:
        problems = [Problem(str(i), f"{i} + 1 = ?", str(i + 1), "x") for i in range(20)]
        monkeypatch.setattr("nsad_cli.pipeline.forecast.training_problems", lambda *_: problems)
        collect(problems[:8], teacher, 3, store)
        assert len(store.draws(teacher.name, params_key(teacher))) == 24
    monkeypatch.setattr(type(teacher), "draw", never)
    plan, stages = planned("paid", settings)
    assert (stages["collect"].calls, stages["collect"].reused, stages["collect"].state) == (12, 24, "to do")
    # One draw of three is right: 20 problems, of which 2 are held out.
    assert stages["nat"].samples == pytest.approx(20, abs=4)
    assert stages["negative"].samples == pytest.approx(40, abs=6)
    assert any("24 of 60" in note for note in plan.notes)


def answer(teacher: Any, requests: Any, keep: Any, _fail: Any) -> None:
    """A teacher whose first draw is right and whose others are wrong."""
    for request in requests:
        right = int(request.problem.answer)
        keep(
            [
                Draw(request.problem.id, teacher.name, index, f"So it is. The answer is {right + index}.")
                for index in request.indices
            ]
        )


def test_a_large_recording_is_judged_by_a_sample(tiny_llama: Path, tmp_path: Path) -> None:
    """4 draws a problem, one of them wrong: three quarters of 1,600 are right."""
    rows = [
        {
            "question": f"{i} + 1 = ?",
            "answer": str(i + 1),
            "generated_answer": [f"The answer is {i + 1 + (draw == 3)}." for draw in range(4)],
        }
        for i in range(400)
    ]
    path = tmp_path / "big.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    plan, stages = planned("big", recipe(tiny_llama, problems={}, teacher={"spec": f"jsonl:{path}", "draws": 4}))
    assert stages["collect"].samples == 1600
    assert stages["collect"].calls == 0
    assert stages["nat"].samples == pytest.approx(1200 * 0.9, rel=0.02)
    assert stages["negative"].samples == pytest.approx(400 * 0.9, rel=0.02)
    assert "samples" in stages["nat"].estimated
    assert any("graded" in note for note in plan.notes)


def test_an_empty_side_is_told_before_the_run_stops_there(tiny_llama: Path, tmp_path: Path) -> None:
    path = tmp_path / "right.jsonl"
    rows = [{"question": f"{i}: 1+1?", "answer": "2", "generated_answer": ["The answer is 2."]} for i in range(9)]
    path.write_text("\n".join(map(json.dumps, rows)))
    plan, stages = planned("right", recipe(tiny_llama, problems={}, teacher={"spec": f"jsonl:{path}", "draws": 1}))
    assert stages["negative"].samples == 0
    assert stages["nat"].samples == 8
    assert any(note.startswith("negative: no training data") for note in plan.notes)


def test_a_student_that_does_not_fit_is_planned_without_times(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nsad_cli.pipeline.plan_speed.PROBE_MEMORY_FACTOR", 1e12)
    plan, stages = planned("huge", recipe(tiny_llama))
    assert stages["nat"].seconds is None
    assert stages["nat"].samples > 0
    assert any("does not fit" in note for note in plan.notes)


def test_time_follows_from_tokens_and_speeds(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At one token a second a stage takes its tokens; alone, the held-out checks of NCE take three times NAT's."""

    def planned_at(**speeds: float) -> dict[str, StagePlan]:
        none: dict[str, Any] = dict.fromkeys(("lora", "nat", "nce", "forward", "sampling"), math.inf)
        monkeypatch.setattr(
            "nsad_cli.pipeline.throughput.probe", lambda *_, **__: Speeds(**{**none, "seconds": 0.0, **speeds})
        )
        return planned("timed", recipe(tiny_llama))[1]

    for name, kind in (("negative", "lora"), ("nat", "nat"), ("nce", "nce")):
        stages = planned_at(**{kind: 1.0})
        assert stages[name].seconds == stages[name].tokens
        assert stages["eval"].seconds == 0
    stages = planned_at(forward=1.0)
    nat, nce = stages["nat"].seconds, stages["nce"].seconds
    assert nat
    assert nce == 3 * nat
    stages = planned_at(sampling=2.0)
    # The untrained student writes its 8 tokens for each of 4 problems.
    assert stages["eval-before"].tokens == 32
    assert stages["eval-before"].seconds == 16


def test_a_bfloat16_student_is_timed_too(tiny_llama: Path) -> None:
    student = {"model": str(tiny_llama), "device": "cpu", "dtype": "bfloat16"}
    _, stages = planned("half", recipe(tiny_llama, student=student))
    assert all(stages[name].seconds is not None for name in (*TRAINED, "eval"))


def test_bad_input_is_told(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a valid name of a run"):
        planned("../up", recipe(tiny_llama))
    with pytest.raises(NsadError, match="has no data"):
        planned("none", recipe(tiny_llama, teacher={"spec": f"jsonl:{tmp_path / 'none'}"}))
    with pytest.raises(NsadError, match="not there"):
        planned("none", recipe(tmp_path / "nowhere"))
    assert not runs_home().exists()


def test_own_chains_of_nce_are_planned_with_their_tokens_and_time(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 chains for each of 18 problems that are not held out; half of them join D+."""
    none: dict[str, Any] = dict.fromkeys(("lora", "nat", "nce", "forward"), math.inf)
    monkeypatch.setattr(
        "nsad_cli.pipeline.throughput.probe", lambda *_, **__: Speeds(**none, sampling=2.0, seconds=0.0)
    )
    training = recipe(tiny_llama).training.model_dump()
    alone = planned("alone", recipe(tiny_llama))[1]["nce"]
    training["nce"]["self_samples"] = 3
    plan, stages = planned("own", recipe(tiny_llama, training=training))
    nce = stages["nce"]
    assert nce.own_samples == 3 * 18
    assert nce.own_tokens == pytest.approx(nce.own_samples * 8, abs=nce.own_samples)
    assert nce.own_seconds == nce.seconds == pytest.approx(nce.own_tokens / 2, abs=0.1)
    assert nce.samples == alone.samples + nce.own_samples / 2
    assert nce.steps == math.ceil(3 * nce.samples / 8) > (alone.steps or 0) > 0
    assert (alone.own_samples, alone.own_tokens) == (0, 0)
    assert "samples" in nce.estimated
    assert any("own chains are assumed to be right" in note for note in plan.notes)
    assert stages["ranker"].own_samples == 4 * 2
    assert any(note.startswith("warm-up steps: negative 1, nat 1, nce 1") for note in plan.notes)


def test_a_profile_estimates_times_without_measuring(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing is measured")

    monkeypatch.setattr("nsad_cli.pipeline.throughput.probe", never)
    for name in DEVICE_PROFILES:
        plan, stages = planned("profiled", recipe(tiny_llama), profile=name)
        assert all(stage.seconds is not None for stage in stages.values())
        assert any("an estimate" in note and "Assumed: training at 40% of" in note for note in plan.notes)
        assert any("too low" in note for note in plan.notes), "the student is in float32"
    assert set(PROFILES) == set(DEVICE_PROFILES)


def test_a_profiles_speeds_by_hand(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The students of a data sheet's GPU: 2 FLOP a parameter, weights and cache read once a step, 1 ms a layer."""
    found: list[tuple[Any, Speeds]] = []

    def recorded(context: Any, name: str) -> Speeds:
        found.append((context, estimated_speeds(context, name)))
        return found[-1][1]

    monkeypatch.setattr(plan_module, "estimated_speeds", recorded)
    planned("profiled", recipe(tiny_llama), profile="a100")
    ((context, speeds),) = found
    shape = context.footprint
    forward = 0.4 * 312e12 / (2 * (shape.base - shape.vocabulary * shape.hidden))
    assert speeds.forward == pytest.approx(forward)
    assert speeds.nce == pytest.approx(forward / 6)
    rows = context.recipe.sampling.batch_size
    read = shape.base_bytes + rows * context.length * shape.layers * shape.cached * shape.bytes_each
    assert speeds.sampling == pytest.approx(rows / (max(read / (0.6 * 2039e9), rows / forward) + 0.002))


def test_llama_7b_is_planned_without_a_file_of_it(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    student = {"model": "huggyllama/llama-7b", "device": "cpu", "dtype": "auto"}
    adapter = {"targets": ["q_proj", "v_proj"], "r": 8}
    sampling = {"max_new_tokens": 1024, "batch_size": 64}
    settings = recipe(tiny_llama, student=student, adapter=adapter, sampling=sampling)
    plan, stages = planned("seven", settings, profile="a100")
    assert stages["nce"].lora_parameters == 32 * 2 * 8 * (4096 + 4096)
    assert stages["nat"].unit_parameters == 32 * 2 * 128 * 4 * 4096
    sampled = 64 * (1024 + 50) * 2 * 32 * 4096 * 2 / 2**30
    assert stages["eval"].memory_gib == pytest.approx(6.74e9 * 2 / 2**30 + sampled, rel=0.05), "weights and cache"
    assert all(stage.seconds is not None for stage in stages.values())
    assert any("huggyllama/llama-7b is not at hand" in note for note in plan.notes)
    assert not any(note.startswith("memory:") for note in plan.notes)
    assert any("the GPU has 24 GiB" in note for note in planned("seven", settings, profile="rtx4090")[0].notes)
    with pytest.raises(NsadError, match="cannot be reached"):
        planned("seven", settings)
    with pytest.raises(NsadError) as error:
        planned("other", recipe(tiny_llama, student={"model": "someone/unknown-7b"}), profile="a100")
    assert error.value.what == "the config of the student `someone/unknown-7b` cannot be read"
    assert "cannot be reached" in error.value.why
    assert "huggyllama/llama-7b" in error.value.fix
    assert not runs_home().exists()


def test_pairs_expected_of_a_problem() -> None:
    """4 chains: 2·4·3 of 16 outcomes give 3 pairs, 6 give 4 (of at most 4): (8·3 + 6·4) / 16 = 3."""
    assert expected_pairs(RankerConfig(samples=2, pairs_per_problem=4)) == 0.5
    assert expected_pairs(RankerConfig(samples=4, pairs_per_problem=4)) == 3.0
    assert expected_pairs(RankerConfig(samples=4, pairs_per_problem=1)) == 14 / 16


@pytest.mark.parametrize("value", ["mlp", "identity"])
def test_parameters_and_memory_from_shapes_alone(tiny_llama: Path, value: Any) -> None:
    """q and v of 2 layers, 32 → 32 and 32 → 16, with r 2 and a unit of 4."""
    settings = AdapterSettings(r=2, unit_size=4, unit_value=value)
    found = measure(load_student(str(tiny_llama), device="cpu", weights=False).model, settings)
    assert found.lora == 2 * (2 * (32 + 32) + 2 * (32 + 16))
    assert found.unit == 2 * 4 * ((32 + 32) + (32 + 16) + (2 * (32 + 16) if value == "mlp" else 0))
    real = load_student(str(tiny_llama), device="cpu").model
    assert found.base == sum(parameter.numel() for parameter in real.parameters())
    few, many = (found.training_gib(NAT, tokens) for tokens in (100, 800))
    assert found.weights_gib() < few < many
    half = measure(load_student(str(tiny_llama), device="cpu", dtype="bfloat16", weights=False).model, settings)
    assert half.weights_gib() == found.weights_gib() / 2
    assert found.packed == 0
    assert half.sampling_gib(0, 0) - half.weights_gib() >= half.packed / 2**30
    linear = 2 * sum(m.weight.numel() for m in real.modules() if isinstance(m, torch.nn.Linear))
    assert half.packed in (0, linear), "by the processor: sampling packs them in bfloat16 on some"
    gpu = load_student(str(tiny_llama), device="cpu", dtype="bfloat16", weights=False).model
    assert measure(gpu, settings, device=torch.device("cuda")).packed == 0
