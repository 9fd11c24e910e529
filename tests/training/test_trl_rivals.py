"""DPO, KTO and GKD by TRL: trained, measured, resumed and loaded like every baseline."""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from nsad_cli.config.schema import Recipe
from nsad_cli.config.stages import Stage, stages, training_stages
from nsad_cli.errors import NsadError
from nsad_cli.evaluation.measure import evaluate_models, load_benchmarks
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.inference.sampling import greedy
from nsad_cli.inference.session import Session
from nsad_cli.models.packing import Example
from nsad_cli.pipeline.pipeline import Pipeline, run_stages
from nsad_cli.pipeline.plan import planning
from nsad_cli.pipeline.plan_training import plan_training
from nsad_cli.runs.run import Run
from nsad_cli.training.losses import token_nll
from nsad_cli.training.stages import stage_key
from nsad_cli.training.trl_rivals import (
    POLICY,
    REFERENCE,
    TrlTraining,
    known_warnings_ignored,
    label_weights,
    without_remainder,
)
from tests.helpers.nat_models import shake
from tests.helpers.notes import recorded_notes
from tests.helpers.tiny_recipes import STAGE, recipe

RIVALS = ("dpo", "kto", "gkd")
needs_trl = pytest.mark.skipif(
    importlib.util.find_spec("trl") is None, reason="TRL is not installed: pip install 'nsad[trl]'"
)


def settings(model: Path, **changes: Any) -> Recipe:
    """A recipe whose baselines train for a few dozen steps."""
    baseline = {"epochs": 6, "batch_size": 4, "checks": 3, "learning_rate": 0.02, "warmup_steps": 0, **changes}
    training = {"held_out": 0.1, "negative": STAGE, "nat": STAGE, "baseline": baseline}
    return recipe(model, training=training)


@pytest.fixture(scope="module")
def before(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with what the rivals require, which no test changes."""
    home = tmp_path_factory.mktemp("before")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("NSAD_HOME", str(home))
        run = Run.create("rivals", settings(tiny_llama))
        run_stages(run, ["collect", "grade", "negative", "nat", "cot-kd"])
    return run


def copy_of(run: Run, folder: Path) -> Run:
    return Run(Path(shutil.copytree(run.path, folder / run.name)))


@pytest.fixture(scope="module")
def rivals(before: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, Any], Session]:
    """The same run with all rivals, and the session that trained them."""
    run = copy_of(before, tmp_path_factory.mktemp("rivals"))
    with run.lock():
        pipeline = Pipeline(run)
        results = {name: pipeline.step(name) for name in RIVALS}
    return run, results, pipeline.session


def series(run: Run, stage: str, metric: str) -> list[float]:
    return [event.metrics[metric] for event in run.events.read() if event.stage == stage and metric in event.metrics]


def adapter(run: Run, name: str) -> dict[str, torch.Tensor]:
    return load_file(run.adapter_path(name) / "adapter_model.safetensors")


@needs_trl
@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_is_trained_and_recorded_like_a_baseline(
    rivals: tuple[Run, dict[str, Any], Session], name: str
) -> None:
    run, results, session = rivals
    result, other = results[name], run.stages()["cot-kd"]["result"]
    assert run.stages()[name]["state"] == "finished"
    assert result.keys() == other.keys()
    assert result["trained_parameters"] == other["trained_parameters"]
    assert result["base"] == other["base"]
    assert result["problem_ids"]
    assert len(series(run, name, "loss")) == result["steps"] > 1
    assert len(series(run, name, "held_out_loss")) == 3
    assert result["held_out_loss"] == pytest.approx(min(series(run, name, "held_out_loss")), abs=1e-6)
    assert result["tokens"] > 0
    metrics = {"learning_rate", "grad_norm", "tokens_per_second", "cpu_percent"}
    events = [event for event in run.events.read() if event.stage == name and "loss" in event.metrics]
    assert all(metrics <= set(event.metrics) for event in events)
    assert [event.step for event in events] == list(range(1, result["steps"] + 1))
    mine, start = adapter(run, name), adapter(run, "cot-kd")
    assert mine.keys() == start.keys()
    assert any(not torch.equal(mine[key], start[key]) for key in mine)
    assert not (run.path / "checkpoints" / name).exists()
    assert not {POLICY, REFERENCE} & set(session.adapters.names())


@needs_trl
def test_dpo_separates_right_from_wrong(rivals: tuple[Run, dict[str, Any], Session]) -> None:
    run, results, _ = rivals
    losses, margins = series(run, "dpo", "loss"), series(run, "dpo", "reward_margin")
    assert losses[0] == pytest.approx(0.693, abs=0.02), "policy and reference are equal at first, but for dropout"
    third = len(losses) // 3
    assert sum(losses[-third:]) / third < sum(losses[:third]) / third - 0.01
    assert sum(margins[-third:]) > sum(margins[:third])
    assert results["dpo"]["examples"] <= run.stages()["cot-kd"]["result"]["examples"]


@needs_trl
def test_kto_separates_right_from_wrong(rivals: tuple[Run, dict[str, Any], Session]) -> None:
    run, results, _ = rivals
    margins = series(run, "kto", "reward_margin")
    third = len(margins) // 3
    assert sum(margins[-third:]) > sum(margins[:third])
    assert min(series(run, "kto", "kl")) >= 0
    assert results["kto"]["examples"] > run.stages()["cot-kd"]["result"]["examples"]


@needs_trl
def test_gkd_moves_towards_its_teacher(rivals: tuple[Run, dict[str, Any], Session]) -> None:
    run, *_ = rivals
    losses = series(run, "gkd", "loss")
    third = len(losses) // 3
    assert sum(losses[-third:]) / third < losses[0] / 2


@needs_trl
def test_gkds_teacher_is_nat_on_the_same_base(before: Run, tmp_path: Path) -> None:
    run = copy_of(before, tmp_path)
    session = Session(run)
    with run.lock():
        corpus = Pipeline(run).corpus()
    teacher = TrlTraining(session, stages()["gkd"], corpus).build().parts["teacher_model"]
    adapters, ids = session.adapters, torch.arange(3, 15).view(2, 6)
    adapters.base.train()
    with adapters.use(POLICY):
        found = teacher(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    assert adapters.base.training
    assert not list(teacher.parameters())
    adapters.base.eval()
    with torch.no_grad(), adapters.use("nat"):
        assert torch.equal(found, adapters.base(input_ids=ids).logits)
    with torch.no_grad(), adapters.use("cot-kd"):
        assert not torch.equal(found, adapters.base(input_ids=ids).logits)


@needs_trl
@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_answers_the_same_after_it_is_loaded(rivals: tuple[Run, dict[str, Any], Session], name: str) -> None:
    run, _, trained = rivals
    found = []
    for session in (trained, Session(run)):
        task = Task("one", "Tom has 3 apples . How many ?", (0,))
        (chain,) = session.sampler(name).sample([task], greedy(Sampling(1.0, 1.0, 12)), seed="a")
        found.append((chain.text, chain.logprobs))
    assert found[0] == found[1]


@needs_trl
def test_the_base_is_as_before(rivals: tuple[Run, dict[str, Any], Session]) -> None:
    run, _, trained = rivals
    base, fresh = trained.adapters.base, Session(run).adapters.base
    assert "forward" not in base.__dict__
    assert "forward" not in trained.adapters.model.__dict__
    assert not base.training
    assert not any(parameter.requires_grad for parameter in trained.adapters.model.parameters())
    assert base.config.pad_token_id == fresh.config.pad_token_id
    assert base.generation_config.pad_token_id == fresh.generation_config.pad_token_id
    ids = torch.arange(3, 15).view(2, 6)
    with torch.no_grad(), trained.adapters.use(None):
        assert torch.equal(base(input_ids=ids).logits, fresh(input_ids=ids).logits)


@needs_trl
def test_rivals_are_evaluated(rivals: tuple[Run, dict[str, Any], Session]) -> None:
    run, *_ = rivals
    benchmarks = load_benchmarks(run, ["arithmetic:test"], 2)
    rows = evaluate_models(Session(run), stage="eval", models=RIVALS, benchmarks=benchmarks, samples=0)["results"]
    assert [row["model"] for row in rows] == list(RIVALS)


@needs_trl
def test_a_finished_rival_is_not_trained_again(rivals: tuple[Run, dict[str, Any], Session]) -> None:
    run, results, _ = rivals
    notes = recorded_notes()
    again = run_stages(Run(run.path), ["dpo", "gkd"])
    assert {name: again[name] for name in ("dpo", "gkd")} == {name: results[name] for name in ("dpo", "gkd")}
    assert sum("already done" in note for note in notes) == 3, "cot-kd, which both start from, too"


@needs_trl
@pytest.mark.parametrize("name", RIVALS)
def test_an_interrupted_rival_resumes_to_the_same_adapter(
    rivals: tuple[Run, dict[str, Any], Session], before: Run, tmp_path: Path, name: str
) -> None:
    run = copy_of(before, tmp_path)

    def interrupt(event: Any) -> None:
        if event.stage == name and event.step == 3:
            signal.raise_signal(signal.SIGINT)

    run.events.subscribe(interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_stages(run, [name])
    assert run.stages()[name]["state"] == "interrupted"
    assert list((run.path / "checkpoints" / name).glob("checkpoint-*/complete"))
    notes = recorded_notes()
    result = run_stages(Run(run.path), [name])[name]
    assert any("resuming at step" in note for note in notes)
    expected, found = adapter(rivals[0], name), adapter(run, name)
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert result["tokens"] == rivals[1][name]["tokens"]


@needs_trl
def test_dpos_loss_against_a_literal_one(before: Run, tmp_path: Path) -> None:
    run = copy_of(before, tmp_path)
    session = Session(run)
    stage = stages()["dpo"]
    with run.lock():
        corpus = Pipeline(run).corpus()
    training = TrlTraining(session, stage, corpus)
    data, rival = training.data(), training.build()
    adapters = session.adapters
    with adapters.use(POLICY), known_warnings_ignored():
        trainer = training.make_trainer(rival, data)
        shake(adapters, POLICY, 3)
        adapters.model.eval()
        pairs = data.train[:3]
        batch = trainer.data_collator([rival.row(pair) for pair in pairs])
        with torch.no_grad():
            found = trainer.compute_loss(adapters.model, batch).item()

    def logp(name: str, example: Example) -> torch.Tensor:
        ids = torch.tensor([example.prompt + example.completion])
        with torch.no_grad(), adapters.use(name):
            logits = adapters.base(input_ids=ids, use_cache=False).logits[0].double()
        return -token_nll(logits[len(example.prompt) - 1 : -1], torch.tensor(example.completion)).sum()

    losses = []
    for pair in pairs:
        right, wrong = (logp(POLICY, side) - logp("cot-kd", side) for side in pair.sides())
        losses.append(-F.logsigmoid(0.1 * (right - wrong)))
    expected = torch.stack(losses).mean().item()
    assert abs(expected - 0.693) > 0.005
    assert found == pytest.approx(expected, abs=1e-6)


@needs_trl
def test_the_reference_has_no_dropout_and_the_policy_has(before: Run, tmp_path: Path) -> None:
    run = copy_of(before, tmp_path)
    session = Session(run)
    with run.lock():
        corpus = Pipeline(run).corpus()
    training = TrlTraining(session, stages()["kto"], corpus)
    data, rival = training.data(), training.build()
    adapters = session.adapters
    assert [rival.row(Example((1,), (2,), wrong=wrong))["label"] for wrong in (True, False)] == [False, True]
    with adapters.use(POLICY), known_warnings_ignored():
        trainer = training.make_trainer(rival, data)
        batch = trainer.data_collator([rival.row(item) for item in data.train[:2]])
        trainer.model.train()
        ids = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        with torch.no_grad():
            outputs = {}
            for name in (POLICY, REFERENCE):
                with adapters.use(name):
                    outputs[name] = [adapters.base(**ids).logits for _ in range(2)]
    assert torch.equal(*outputs[REFERENCE])
    assert not torch.equal(*outputs[POLICY])


@needs_trl
def test_kto_pairs_each_prompt_with_another_completion_of_the_batch() -> None:
    from nsad_cli.training.trl_trainers import KtoCollator

    rows = [{"prompt_ids": [i], "completion_ids": [10 + i, 2], "label": i > 0} for i in range(3)]
    batch = KtoCollator(0)(rows)
    assert batch["input_ids"].tolist() == [[0, 10, 2], [1, 11, 2], [2, 12, 2]]
    assert batch["KL_input_ids"].tolist() == [[0, 12, 2], [1, 10, 2], [2, 11, 2]]
    assert batch["label"].tolist() == [False, True, True]


@needs_trl
def test_gkd_pads_prompts_on_the_left_and_sequences_on_the_right() -> None:
    from nsad_cli.training.trl_trainers import GkdCollator

    rows = [{"prompt_ids": [5, 6], "completion_ids": [7, 2]}, {"prompt_ids": [8], "completion_ids": [2]}]
    batch = {key: value.tolist() for key, value in GkdCollator(0)(rows).items()}
    assert batch["prompts"] == [[5, 6], [0, 8]]
    assert batch["prompt_attention_mask"] == [[1, 1], [0, 1]]
    assert batch["input_ids"] == [[5, 6, 7, 2], [8, 2, 0, 0]]
    assert batch["attention_mask"] == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch["labels"] == [[-100, -100, 7, 2], [-100, 2, -100, -100]]


def test_ktos_rarer_label_weighs_as_much_as_the_other() -> None:
    examples = [Example((1,), (2,), wrong=i < 2) for i in range(8)]
    assert label_weights(examples) == {"desirable_weight": 1.0, "undesirable_weight": 3.0}


@needs_trl
@pytest.mark.parametrize("name", RIVALS)
def test_a_plan_counts_what_is_trained(
    rivals: tuple[Run, dict[str, Any], Session], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, results, _ = rivals
    monkeypatch.setenv("NSAD_HOME", str(run.path.parent))
    with planning(run.name, run.recipe) as context:
        context.force = True
        for stage in training_stages(name, "teacher"):
            context.drafts[stage] = plan_training(context, stages()[stage])
        drafts = context.drafts
    draft, result = drafts[name], results[name]
    assert draft.tokens is not None
    assert draft.samples == result["examples"]
    assert draft.more["steps"] == result["steps"]
    if name == "gkd":
        assert draft.work["sampling"] > 0
        assert draft.tokens == drafts["cot-kd"].tokens
        assert result["tokens"] < draft.tokens, "its chains of 8 tokens are shorter than the rationales"
        assert draft.more["own_tokens"] <= draft.tokens
    else:
        assert draft.tokens == pytest.approx(result["tokens"], rel=0.02)
    assert draft.work["forward"] > stages()[name].cost.passes * draft.tokens
    assert draft.more["memory_gib"] >= drafts["cot-kd"].more["memory_gib"]


def test_preference_methods_have_a_lower_rate(tiny_llama: Path) -> None:
    of = settings(tiny_llama).training.of
    rate = of("cot-kd").learning_rate
    assert of("dpo").learning_rate == of("kto").learning_rate == pytest.approx(0.05 * rate)
    assert of("gkd").learning_rate == rate


def test_gkd_is_another_stage_if_its_teacher_or_its_sampling_changes(before: Run, tmp_path: Path) -> None:
    run = copy_of(before, tmp_path)
    with run.lock():
        corpus = Pipeline(run).corpus()
    keys = {stage_key(Session(run), stages()["gkd"], corpus)}
    values = run.recipe.model_dump()
    other = Recipe.model_validate({**values, "sampling": {**values["sampling"], "temperature": 0.3}})
    keys.add(stage_key(Session(run, other), stages()["gkd"], corpus))
    manifest = json.loads((run.path / "manifest.json").read_text())
    manifest["stages"]["nat"]["result"]["weights"] = "another"
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    keys.add(stage_key(Session(Run(run.path)), stages()["gkd"], corpus))
    assert len(keys) == 3


@pytest.fixture
def without_trl(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == "trl" else found(name, *rest))


@pytest.mark.usefixtures("without_trl")
def test_without_trl_nothing_is_trained(before: Run, tmp_path: Path) -> None:
    run = copy_of(before, tmp_path)
    with pytest.raises(NsadError) as error:
        run_stages(run, ["nat", "dpo"])
    assert error.value.fix == 'pip install "nsad[trl]"'
    assert "dpo" in error.value.what
    with pytest.raises(NsadError), run.lock():
        Pipeline(run).step("kto")
    assert "kto" not in run.stages()


def test_several_processes_are_refused(before: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsad_cli.training.trl_library.world_size", lambda: 2)
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: object())
    with pytest.raises(NsadError, match="several processes"):
        run_stages(copy_of(before, tmp_path), ["gkd"])


@needs_trl
def test_a_store_without_both_sides_is_an_error(tiny_llama: Path, tmp_path: Path) -> None:
    rows = [{"question": f"{i}: 1+1?", "answer": "2", "generated_answer": ["The answer is 2."]} for i in range(9)]
    (tmp_path / "right.jsonl").write_text("\n".join(map(json.dumps, rows)))
    teacher = {"spec": f"jsonl:{tmp_path / 'right.jsonl'}", "draws": 1}
    run = Run.create("one-sided", recipe(tiny_llama, problems={}, teacher=teacher))
    for name, words in (("dpo", "right and a wrong"), ("kto", "right and wrong")):
        with pytest.raises(NsadError, match=words) as error:
            run_stages(run, ["collect", "grade", name])
        assert error.value.what.startswith(name)
        assert error.value.fix


@needs_trl
def test_kto_needs_two_examples_at_once(before: Run, tiny_llama: Path, tmp_path: Path) -> None:
    run = copy_of(before, tmp_path)
    run.write_recipe(settings(tiny_llama, batch_size=1))
    session = Session(run)
    with run.lock():
        corpus = Pipeline(run).corpus()
    training = TrlTraining(session, stages()["kto"], corpus)
    data, rival = training.data(), training.build()
    with pytest.raises(NsadError, match="batch_size is 1"):
        training.learn(rival, data)
    assert POLICY not in session.adapters.names()


@needs_trl
def test_a_rival_needs_what_it_starts_from(tiny_llama: Path) -> None:
    run = Run.create("alone", settings(tiny_llama))
    run_stages(run, ["collect", "grade"])
    assert list(run_stages(run, ["dpo"])) == ["cot-kd", "dpo"], "what it starts from is trained first"
    with pytest.raises(NsadError) as error:
        run_stages(run, ["gkd"])
    assert "train-nat" in error.value.fix


@needs_trl
@pytest.mark.parametrize(("tokens", "rows"), [(1, 2), (10_000, 4)])
def test_what_fits_is_run_at_once(before: Run, tiny_llama: Path, tmp_path: Path, tokens: int, rows: int) -> None:
    run = copy_of(before, tmp_path)
    run.write_recipe(settings(tiny_llama, pack_tokens=tokens))
    with run.lock():
        corpus = Pipeline(run).corpus()
    stage: Stage = stages()["kto"]
    training = TrlTraining(Session(run), stage, corpus)
    data, rival = training.data(), training.build()
    assert training._rows_at_once(rival, data) == rows


@pytest.mark.parametrize(
    ("count", "rows", "fewest", "kept"), [(17, 8, 2, 16), (18, 8, 2, 18), (1, 8, 2, 0), (5, 4, 1, 5)]
)
def test_a_last_pass_has_enough_rows(count: int, rows: int, fewest: int, kept: int) -> None:
    assert without_remainder(range(count), rows, fewest) == list(range(kept))
