"""Damaged checkpoints are noticed before a stage resumes, and a whole one gives the same adapter."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file

from nsad_cli.errors import NsadError
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.runs.run import Run
from nsad_cli.training import checkpoints as checkpoints_module
from nsad_cli.training import periodic_checkpoints, stage_checkpoints
from nsad_cli.training.checkpoints import damage, newest_checkpoint
from nsad_cli.training.likelihood import CompletionObjective
from nsad_cli.training.trainer import BatchLoss
from tests.helpers.disk_steps import recorded_steps
from tests.helpers.notes import recorded_notes
from tests.helpers.tiny_recipes import STAGE, recipe
from tests.helpers.trained_weights import assert_same_weights

if TYPE_CHECKING:
    from collections.abc import Callable


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def delete(path: Path) -> None:
    path.unlink()


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


DAMAGES = (truncate, empty, delete, flip_a_bit)
FILES = (
    "trained.safetensors",
    "objective.safetensors",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
)


@pytest.fixture(scope="module")
def stopped(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was interrupted in the negative stage and has two checkpoints; the run `whole` beside it went on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSAD_HOME", str(tmp_path_factory.mktemp("home")))
        keep = checkpoints_module.keep_newest_and_best
        patch.setattr(
            stage_checkpoints, "keep_newest_and_best", lambda newest, _: keep(newest, newest.with_name("checkpoint-4"))
        )
        run = Run.create("stopped", recipe(tiny_llama))
        run_stages(run, ["collect", "grade"])

        def interrupt(event: Any) -> None:
            folder = run.path / "checkpoints" / "negative"
            if event.stage == "negative" and len(list(folder.glob("*/complete"))) == 2:
                raise KeyboardInterrupt

        run.events.subscribe(interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_stages(run, ["negative"])
        whole = Run(Path(shutil.copytree(run.path, run.path.with_name("whole"))))
        run_stages(whole, ["negative"])
    return run.path


@pytest.fixture
def copied(stopped: Path, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(stopped, tmp_path / "copied")))


def checkpoints(run: Run) -> list[Path]:
    found = (run.path / "checkpoints" / "negative").glob("checkpoint-*")
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def test_the_marker_holds_a_digest_of_every_file(copied: Run) -> None:
    newest = checkpoints(copied)[-1]
    assert {path.name for path in newest.iterdir()} == {*FILES, "complete"}
    assert damage(newest) == ""
    assert newest_checkpoint(newest.parent, "negative") == newest


def test_a_checkpoint_and_its_name_are_on_the_disk_before_older_ones_are_deleted(
    copied: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newest = checkpoints(copied)
    steps = recorded_steps(monkeypatch)
    there = []
    monkeypatch.setattr(shutil, "rmtree", lambda path, **_: there.append((path, list(steps))))
    checkpoints_module.keep_newest_and_best(newest, newest)
    ((deleted, before),) = there
    assert deleted == older
    assert {path for what, path in before if what == "sync"} >= {*(newest / name for name in FILES), newest}
    assert before[-2:] == [("sync", newest.parent), ("sync", newest.parent.parent)]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", DAMAGES)
def test_every_damage_to_every_file_is_noticed(copied: Run, name: str, harm: Callable[[Path], None]) -> None:
    older, newest = checkpoints(copied)
    harm(newest / name)
    notes = recorded_notes()
    assert newest_checkpoint(newest.parent, "negative") == older
    (note,) = notes
    assert name in note
    harm(older / name)
    assert newest_checkpoint(newest.parent, "negative") is None


@pytest.mark.parametrize("text", ["{", "[]", '{"files": 3}', "\x00\x00"])
def test_a_damaged_marker_is_noticed(copied: Run, text: str) -> None:
    older, newest = checkpoints(copied)
    (newest / "complete").write_text(text)
    assert newest_checkpoint(newest.parent, "negative") == older


def test_the_best_checkpoint_must_be_whole_too(copied: Run) -> None:
    older, newest = checkpoints(copied)
    state = newest / "trainer_state.json"
    state.write_text(state.read_text().replace('"best_global_step": 8', '"best_global_step": 4'))
    (newest / "complete").write_text("")  # as in an earlier version, without digests
    assert newest_checkpoint(newest.parent, "negative") == newest
    flip_a_bit(older / "trained.safetensors")
    notes = recorded_notes()
    assert newest_checkpoint(newest.parent, "negative") is None
    assert "the best checkpoint" in notes[0]


@pytest.mark.parametrize("harm", DAMAGES)
def test_a_damaged_checkpoint_of_an_earlier_version_is_noticed_when_it_is_opened(
    copied: Run, harm: Callable[[Path], None]
) -> None:
    older, newest = checkpoints(copied)
    for path in (older, newest):
        (path / "complete").write_text("")
        assert damage(path) == ""
    harm(newest / "optimizer.pt")
    assert newest_checkpoint(newest.parent, "negative") == older


@pytest.mark.parametrize(
    ("harm", "name"),
    [(truncate, "optimizer.pt"), (empty, "trainer_state.json"), (delete, "rng_state.pth"), (flip_a_bit, FILES[0])],
)
@pytest.mark.parametrize("both", [False, True])
def test_it_resumes_to_the_same_adapter(
    stopped: Path, copied: Run, harm: Callable[[Path], None], name: str, both: bool
) -> None:
    for path in checkpoints(copied) if both else checkpoints(copied)[-1:]:
        harm(path / name)
    notes = recorded_notes()
    run_stages(Run(copied.path), ["negative"])
    assert any("is damaged" in note for note in notes)
    assert any("resuming at step" in note for note in notes) is not both
    expected = load_file(Run(stopped.with_name("whole")).adapter_path("negative") / "adapter_model.safetensors")
    found = load_file(copied.adapter_path("negative") / "adapter_model.safetensors")
    assert all(torch.equal(expected[key], found[key]) for key in expected)


@pytest.mark.parametrize("written", [0, 3, 12])
def test_a_disk_that_fills_ends_training_with_an_error_and_it_resumes_to_the_same_adapter(
    stopped: Path, copied: Run, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    fsync, left = os.fsync, [None] * written

    def fill_up(handle: int) -> None:
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        left.pop()
        fsync(handle)

    monkeypatch.setattr(os, "fsync", fill_up)
    with pytest.raises(NsadError) as error:
        run_stages(Run(copied.path), ["negative"])
    assert error.value.why == "the disk is full"
    assert "run the same command again" in error.value.fix
    monkeypatch.setattr(os, "fsync", fsync)
    run_stages(Run(copied.path), ["negative"])
    assert not list(copied.path.rglob(".*"))
    expected = load_file(Run(stopped.with_name("whole")).adapter_path("negative") / "adapter_model.safetensors")
    found = load_file(copied.adapter_path("negative") / "adapter_model.safetensors")
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def lasting(model: Path, name: str, **training: Any) -> Run:
    """A graded run that keeps the last weights and measures the held-out loss once, at its end."""
    stage = {**STAGE, "checks": 1}
    values = {"keep": "last", "held_out": 0, "negative": stage, "nat": {**stage, "warmup_steps": None}}
    values |= {"ranker": {"split": 0}, **training}
    run = Run.create(name, recipe(model, training=values))
    run_stages(run, ["collect", "grade"])
    return run


def test_the_last_weights_are_kept_and_nothing_is_held_out(tiny_llama: Path) -> None:
    run = lasting(tiny_llama, "all")
    notes = recorded_notes()
    results = run_stages(run, ["negative", "nat"])
    for result in results.values():
        assert (result["held_out"], result["held_out_loss"]) == (0, None)
        assert result["best_step"] == result["steps"]
    assert results["nat"]["warmup_steps"] == results["nat"]["steps"] // 10
    assert results["negative"]["warmup_steps"] == 1
    assert not any("no held-out rationale" in note for note in notes)
    rates = [
        event.metrics["learning_rate"]
        for event in run.events.read()
        if event.stage == "nat" and "learning_rate" in event.metrics
    ]
    assert len(rates) == results["nat"]["steps"] >= 10
    assert max(rates) == rates[results["nat"]["warmup_steps"]] == 0.05


def test_the_last_weights_are_kept_although_others_have_a_lower_held_out_loss(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn, measured = CompletionObjective.loss, itertools.count(1)

    def rising(objective: CompletionObjective, batch: Any) -> BatchLoss:
        """The loss while it learns; every later measurement is higher."""
        return learn(objective, batch) if objective.training else BatchLoss(torch.tensor(float(next(measured))))

    monkeypatch.setattr(CompletionObjective, "loss", rising)
    results = {}
    for keep in ("best", "last"):
        run = lasting(tiny_llama, keep, keep=keep, held_out=0.1, negative=STAGE)
        results[keep] = run_stages(run, ["negative"])["negative"]
        events = [event for event in run.events.read() if "held_out_loss" in event.metrics]
        assert len(events) == STAGE["checks"] > 1
        chosen = events[0 if keep == "best" else -1]
        assert results[keep]["held_out_loss"] == pytest.approx(chosen.metrics["held_out_loss"])
        assert results[keep]["best_step"] == chosen.step
    assert results["best"]["best_step"] < results["last"]["best_step"] == results["last"]["steps"]
    assert results["best"]["weights"] != results["last"]["weights"]


def test_checkpoints_against_crashes_do_not_depend_on_checks(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one check at its end a stage loses at most the time between two checkpoints."""
    saved: list[str] = []

    def stop_at(step: int) -> None:
        keep = checkpoints_module.keep_newest_and_best

        def kept(newest: Path, best: Path) -> None:
            keep(newest, best)
            saved.append(newest.name)
            if newest.name == f"checkpoint-{step}":
                raise KeyboardInterrupt

        monkeypatch.setattr(stage_checkpoints, "keep_newest_and_best", kept)

    whole = lasting(tiny_llama, "whole")
    copied = Run(Path(shutil.copytree(whole.path, whole.path.with_name("killed"))))
    stop_at(0)
    steps = run_stages(whole, ["negative"])["negative"]["steps"]
    assert saved == [f"checkpoint-{steps}"], "a stage of seconds has no others"
    saved.clear()
    monkeypatch.setattr(periodic_checkpoints, "CHECKPOINT_SECONDS", 0.0)
    stop_at(3)
    with pytest.raises(KeyboardInterrupt):
        run_stages(copied, ["negative"])
    assert saved == ["checkpoint-1", "checkpoint-2", "checkpoint-3"]
    stop_at(0)
    notes = recorded_notes()
    run_stages(Run(copied.path), ["negative"])
    assert any("resuming at step 3" in note for note in notes)
    assert_same_weights(whole, copied)
