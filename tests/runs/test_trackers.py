"""Trackers: what they get of a run's events, what they do not get, and that no failure of theirs stops a stage."""

from __future__ import annotations

import json
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.config.validation import validate_recipe
from nsad_cli.errors import NsadError
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.runs.event_log import Event
from nsad_cli.runs.run import Run
from nsad_cli.runs.trackers.listener import FILE, tracking
from nsad_cli.runs.trackers.packages import require_trackers
from nsad_cli.runs.trackers.values import event_values, sent_recipe
from tests.helpers.fake_trackers import FakeRun, install_fakes
from tests.helpers.notes import recorded_notes
from tests.helpers.tiny_recipes import recipe

if TYPE_CHECKING:
    from pathlib import Path

ALL = ["tensorboard", "trackio", "wandb"]
Fakes = dict[str, list[FakeRun]]


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    return install_fakes(monkeypatch)


def make_run(trackers: list[str], name: str = "tracked", **more: Any) -> Run:
    return Run.create(name, validate_recipe({"report_to": trackers, **more}, "test"))


def train(run: Run, steps: range, key: str = "a", *, checks: bool = True, fail: bool = False) -> None:
    """Log the events of a stage's steps, and a check at every second one."""
    with tracking(run), run.stage("nat", key):
        for step in steps:
            run.events.emit("nat", step, 9, loss=1 / step, alpha={"layers.0.q_proj": -0.1, "layers.1.q_proj": 0.3})
            if checks and step % 2 == 0:
                run.events.emit("nat", step, 9, held_out_loss=2 / step)
        if fail:
            raise KeyboardInterrupt


def test_the_numbers_of_an_event_have_names_of_stage_and_metric() -> None:
    metrics = {
        "loss": 0.5,
        "grad_norm": None,
        "held_out_loss": float("nan"),
        "refused": "no better than chance",
        "beta": {"q5": 0.1, "q50": 0.2},
        "alpha": {"model.layers.0.self_attn.q_proj": 0.1, "model.layers.10.self_attn.v_proj": 0.3},
        "gpus": [{"percent": 50, "name": "GPU"}],
        "done": True,
    }
    assert event_values(Event(0.0, "nce", 3, 9, metrics)) == {
        "nce/loss": 0.5,
        "nce/beta/q5": 0.1,
        "nce/beta/q50": 0.2,
        "nce/alpha/mean": 0.2,
        "nce/alpha/min": 0.1,
        "nce/alpha/max": 0.3,
        "nce/gpus/0/percent": 50,
    }
    labelled = Event(0.0, "eval", 3, 9, {"model": "nat", "benchmark": "gsm8k:test", "tokens": 7})
    assert event_values(labelled) == {"eval/nat/gsm8k:test/tokens": 7}


def test_secrets_of_a_recipe_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "very-secret-value")
    settings = {
        "teacher": {"spec": "m", "base_url": ["http://inside:8000/v1"], "prompt": "very-secret-value {question}"}
    }
    sent = sent_recipe(validate_recipe(settings, "test"))
    text = json.dumps(sent)
    assert "secret" not in text
    assert "inside" not in text
    assert "OPENAI_API_KEY" not in text
    assert sent["training.nat.learning_rate"] == 3e-4
    assert sent["evaluation.models"] == '["base", "nat", "nce"]'


def test_each_tracker_gets_the_metrics_of_a_stage(fakes: Fakes, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(ALL)
    train(run, range(1, 4))
    for name in ALL:
        (own,) = fakes[name]
        assert len(own.closed) == 1, name
    board, trackio, wandb = (fakes[name][0] for name in ALL)
    assert board.options["arguments"] == (str(run.path / "tensorboard"),)
    for own in (board, trackio):
        assert own.points("nat/loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
        assert own.points("nat/held_out_loss") == [(2, 1.0)]
        assert own.points("nat/alpha/max") == [(1, 0.3), (2, 0.3), (3, 0.3)]
    for own in (trackio, wandb):
        assert own.options["resume"] == "allow"
        assert own.options["config"]["seed"] == 0
    assert trackio.options["name"] == wandb.options["id"] == run.identifier
    assert wandb.options["name"] == "tracked"
    assert wandb.options["dir"] == str(run.path)
    assert wandb.options["settings"]["console"] == "off"
    assert wandb.metrics == {"nat/step": {"hidden": True}, "nat/*": {"step_metric": "nat/step"}}
    assert wandb.logged[1][0]["nat/step"] == 2
    assert wandb.closed == [{"exit_code": 0}]
    assert capsys.readouterr().out == "", "stdout is for results"


def test_nothing_is_started_unless_asked_or_if_nothing_happens(fakes: Fakes) -> None:
    train(make_run([]), range(1, 4))
    with tracking(make_run(ALL, "idle")):
        pass
    assert fakes == {name: [] for name in ALL}


def test_a_resumed_stage_logs_no_step_twice(fakes: Fakes) -> None:
    run = make_run(ALL)
    with pytest.raises(KeyboardInterrupt):
        train(run, range(1, 6), fail=True)
    assert fakes["wandb"][0].closed == [{"exit_code": 1}]
    with pytest.raises(KeyboardInterrupt):
        train(run, range(3, 4), fail=True)  # from a checkpoint, and interrupted before it got as far
    train(run, range(3, 9))
    for name in ("tensorboard", "trackio"):
        points = [point for own in fakes[name] for point in own.points("nat/loss")]
        assert [step for step, _ in points] == list(range(1, 9)), name
        checks = [point for own in fakes[name] for point in own.points("nat/held_out_loss")]
        assert [step for step, _ in checks] == [2, 4, 6, 8], name
    assert len({own.options["name"] for own in fakes["trackio"]}) == 1
    train(run, range(1, 3), key="other settings")
    assert [step for step, _ in fakes["trackio"][-1].points("nat/loss")] == [1, 2]


def test_a_step_that_was_interrupted_before_its_check_gets_it(fakes: Fakes) -> None:
    run = make_run(["trackio"])
    with pytest.raises(KeyboardInterrupt):
        train(run, range(1, 3), checks=False, fail=True)
    train(run, range(2, 3))
    assert [own.logged for own in fakes["trackio"]][1] == [({"nat/held_out_loss": 1.0}, 2)]
    assert run.path.joinpath(FILE).is_file()


def test_accuracies_are_logged_when_an_evaluation_has_ended(fakes: Fakes) -> None:
    run = make_run(["trackio"])
    rows = [
        {"model": "nat", "benchmark": "b", "rule": None, "accuracy": 0.25},
        {"model": "nat", "benchmark": "b", "rule": "sc", "accuracy": 0.5},
    ]
    with tracking(run), run.stage("eval", "a") as result:
        run.events.emit("eval", 4, 4, model="nat", benchmark="b", tokens=5)
        result["results"] = rows
    assert fakes["trackio"][0].logged == [
        ({"eval/nat/b/tokens": 5}, 4),
        ({"eval/nat/b/accuracy_greedy": 0.25, "eval/nat/b/accuracy_sc": 0.5}, 1),
    ]


@pytest.mark.parametrize("method", ["init", "log", "define_metric"])
def test_a_tracker_that_fails_is_left_out_with_one_note(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the server is gone\nmore lines")

    broken = type("Broken", (FakeRun,), {method: fail})
    monkeypatch.setattr(sys.modules["wandb"], "init", fail if method == "init" else lambda **options: broken(options))
    run = make_run(["wandb", "tensorboard"])
    said = recorded_notes()
    train(run, range(1, 4))
    assert [text for text in said if "wandb" in text] == [
        "wandb: not reported to from here on: RuntimeError: the server is gone"
    ]
    assert run.stages()["nat"]["state"] == "finished"
    assert len(fakes["tensorboard"][0].points("nat/loss")) == 3, "the other one goes on"


def test_a_missing_package_or_key_is_an_error_of_three_parts(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = make_run(ALL)
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(NsadError, match="wandb has no API key") as keyless:
        train(run, range(1, 2))
    assert "WANDB_MODE=offline" in keyless.value.fix
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password 0123456789")
    require_trackers(["wandb"])
    for name in ("trackio", "wandb"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in ("trackio", "wandb") else object())
    with pytest.raises(NsadError, match="not installed: trackio, wandb") as missing:
        train(run, range(1, 2))
    assert missing.value.fix.startswith('pip install "nsad[trackio,wandb]"')
    assert not run.stages(), "nothing was started"
    assert not any(fakes.values())


def test_a_tracker_does_not_train_a_finished_stage_again(tiny_llama: Path, fakes: Fakes) -> None:
    settings = recipe(tiny_llama)
    run, names = Run.create("r", settings), ["collect", "grade", "negative"]
    run_stages(run, names)
    before = run.manifest()
    Run.create("r", settings.model_copy(update={"report_to": ALL}))
    assert run.recipe.report_to == ALL
    run_stages(run, names)
    assert run.manifest() == before
    assert not any(fakes.values())
    run_stages(run, ["nat"])
    steps = run.stages()["nat"]["result"]["steps"]
    for name in ALL:
        (own,) = fakes[name]
        assert len(own.points("nat/loss")) == steps, name


def test_a_server_that_takes_nothing_does_not_hold_up_the_end(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr("nsad_cli.runs.trackers.wandb.CLOSE_SECONDS", 0.05)
    monkeypatch.setattr(FakeRun, "finish", lambda *_, **__: released.wait())
    said = recorded_notes()
    train(make_run(["wandb"]), range(1, 3))
    released.set()
    assert any("the server has not taken everything" in text for text in said)
    assert len(fakes["wandb"]) == 1
