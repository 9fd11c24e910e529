"""A run's folder: state, events, choice, damage, other versions."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from nsad_cli.config.schema import Recipe
from nsad_cli.config.validation import validate_recipe
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.runs.run import Run, choose_run, display_state, list_runs, runs_home
from nsad_cli.utils.files import read_jsonl, write_atomic
from tests.helpers.notes import recorded_notes


def test_stages_and_results_survive() -> None:
    run = Run.create("one", Recipe(seed=7))
    with run.stage("collect", "key") as result:
        assert run.stages()["collect"]["state"] == "running"
        result["draws"] = 3
    again = Run.open("one")
    assert again.done("collect", "key")
    assert not again.done("collect", "other")
    assert again.stages()["collect"]["result"] == {"draws": 3}
    assert again.recipe.seed == 7
    with pytest.raises(ZeroDivisionError), run.stage("grade", "key"):
        raise ZeroDivisionError("why")
    assert run.stages()["grade"]["state"] == "failed"
    assert "why" in run.stages()["grade"]["error"]


def test_a_stage_whose_process_died_is_shown_as_stopped_and_its_seconds_add_up() -> None:
    run = Run.create("one", Recipe())
    assert not run.busy()
    with run.lock(), run.stage("collect", "key"):
        assert run.busy()
        assert display_state(run, "collect") == "running"
    assert not run.busy()
    assert display_state(run, "collect") == "finished"

    def interrupted_stage() -> None:
        with run.stage("nat", "key"):
            time.sleep(0.03)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_stage()
    first = run.stages()["nat"]["seconds"]
    with run.stage("nat", "key"):
        assert display_state(run, "nat") == "stopped", "it says running, and no process holds the run"
    assert first >= 0.03
    assert run.stages()["nat"]["seconds"] >= first
    with run.stage("nat", "other settings"):
        pass
    assert run.stages()["nat"]["seconds"] < first


def test_events_survive_a_half_written_line_and_odd_numbers() -> None:
    run = Run.create("one", Recipe())
    heard: list[int] = []
    run.events.subscribe(lambda event: heard.append(event.step))
    run.events.emit("nat", 1, 3, loss=float("nan"), alpha={"q": 0.5})
    with (run.path / "events.jsonl").open("ab") as file:
        file.write(b'{"time": 1, "stage": "na')
    run.events.emit("nat", 2, 3, loss=1.5)
    events = list(run.events.read())
    assert [event.step for event in events] == [1, 2] == heard
    assert events[0].metrics == {"loss": None, "alpha": {"q": 0.5}}


def test_progress_is_told_at_the_end_whatever_the_hurry() -> None:
    run = Run.create("one", Recipe())
    report = run.events.progress("eval", model="nce")
    for done in range(101):
        report(done, 100)
    events = list(run.events.read())
    assert events[-1].step == 100
    assert len(events) < 10
    assert events[-1].metrics["model"] == "nce"


def test_which_run_is_used() -> None:
    with pytest.raises(UsageError, match="no run yet"):
        Run.open()
    for name in ("old", "middle", "new"):
        run = Run.create(name, Recipe())
        with run.stage("nce" if name != "new" else "collect", "k"):
            pass
        time.sleep(0.01)
    assert Run.open(finished=True).name == "middle"  # the newest finished one, not the newest
    assert Run.open().name == "new"
    choose_run("old")
    assert Run.open().name == "old"
    assert Run.open("new").name == "new"
    choose_run(None)
    assert Run.open(finished=True).name == "middle"
    assert [run.name for run in list_runs()] == ["new", "middle", "old"]
    with pytest.raises(UsageError) as error:
        Run.open("midle")
    assert "middle" in error.value.fix


def test_other_versions_and_damage_are_told() -> None:
    run = Run.create("one", Recipe())
    path = run.path / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "format": 99, "versions": {"nsad": "9.9"}}))
    with pytest.raises(NsadError, match="format 99") as error:
        Run.open("one")
    assert "9.9" in error.value.why
    path.write_text(path.read_text()[:40])
    with pytest.raises(NsadError, match="cannot be read"):
        Run.open("one")
    with pytest.raises(UsageError, match="is not a valid name of a run"):
        Run.create("../escape", Recipe())


def test_atomic_writes_leave_the_old_file_where_they_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NsadError) as error:
        write_atomic(path, "new")
    assert error.value.why == "the disk is full"
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir() if item.name.startswith(".file")] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_event_log(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.create("one", Recipe())
    monkeypatch.setattr("nsad_cli.runs.event_log.open_no_link", lambda _, flags: os.open("/dev/full", flags))
    with pytest.raises(NsadError) as error:
        run.events.emit("nat", 1, 1, loss=1.0)
    assert error.value.why == "the disk is full"


@pytest.mark.parametrize("name", ["events.jsonl", "lock"])
def test_no_link_is_followed_to_write(name: str, tmp_path: Path) -> None:
    """A run's folder may come from somebody else."""
    run = Run.create("one", Recipe())
    outside = tmp_path / "outside"
    outside.write_text("mine")
    for path in (run.path / "events.jsonl", run.path / "lock"):
        path.unlink(missing_ok=True)
    (run.path / name).symlink_to(outside)
    with pytest.raises(NsadError, match="symbolic link"), run.lock():
        run.events.emit("nat", 1, 1, loss=1.0)
    assert outside.read_text() == "mine"
    (run.path / name).unlink()
    (run.path / "recipe.yaml").rename(tmp_path / "recipe")
    (run.path / "recipe.yaml").symlink_to(tmp_path / "recipe")
    before = (tmp_path / "recipe").read_text()
    run.write_recipe(Recipe(seed=7))
    assert (tmp_path / "recipe").read_text() == before, "the link is replaced, not what it leads to"
    assert run.recipe.seed == 7


def test_a_run_and_its_adapters_may_be_on_another_disk(tmp_path: Path) -> None:
    run = Run.create("one", Recipe())
    run.path.rename(tmp_path / "disk")
    run.path.symlink_to(tmp_path / "disk")
    (tmp_path / "weights").mkdir()
    (run.path / "adapters").symlink_to(tmp_path / "weights")
    with Run.open("one").lock(), run.stage("nat", "k"):
        run.events.emit("nat", 1, 1, loss=1.0)
        write_atomic(run.adapter_path("nat") / "weights", "w")
    assert [item.name for item in list_runs()] == ["one"]
    assert Run.open("one").stages()["nat"]["state"] == "finished"
    assert (tmp_path / "weights" / "nat" / "weights").read_text() == "w"


def test_lines_that_are_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1}\n\xff\xfe\n' + b"[" * 100_000 + b'\n7\n{"a": 2}')
    corrupt = recorded_notes()
    assert [row["a"] for _, row in read_jsonl(path)] == [1, 2]
    assert len(corrupt) == 3
    assert runs_home().name == "runs"


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"format": 1}', "\x00"])
def test_a_damaged_or_an_empty_run_is_never_the_newest(text: str) -> None:
    good = Run.create("good", Recipe())
    with good.stage("collect", "key"):
        pass
    for name in ("damaged", "empty"):
        newer = Run.create(name, Recipe())
        os.utime(newer.path / "manifest.json", (time.time() + 60, time.time() + 60))
    (runs_home() / "damaged" / "manifest.json").write_text(text)
    os.utime(runs_home() / "damaged" / "manifest.json", (time.time() + 90, time.time() + 90))
    assert Run.open().name == "good"
    with pytest.raises(NsadError):
        Run.open("damaged").stages()


def test_a_run_keeps_the_dtype_that_auto_meant_when_it_was_created(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsad_cli.runs.run.default_dtype", lambda _: "bfloat16")
    run = Run.create("one", Recipe())
    assert run.recipe.student.dtype == "bfloat16"
    monkeypatch.setattr("nsad_cli.runs.run.default_dtype", lambda _: "float32")  # the next machine
    assert Run.create("one", Recipe()).recipe.student.dtype == "bfloat16"
    chosen = validate_recipe({"student": {"dtype": "float32"}}, "test")
    assert Run.create("one", chosen).recipe.student.dtype == "float32"


def test_a_run_keeps_the_engine_that_auto_meant_when_it_was_created(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsad_cli.runs.run.default_engine", lambda _: "vllm")
    assert Run.create("one", Recipe()).recipe.student.sampled_by == "vllm"
    monkeypatch.setattr("nsad_cli.runs.run.default_engine", lambda _: "hf")  # the next machine
    assert Run.create("one", Recipe()).recipe.student.sampled_by == "vllm"
    chosen = validate_recipe({"student": {"engine": "hf"}}, "test")
    assert Run.create("one", chosen).recipe.student.sampled_by == "hf"


def test_a_base_in_4_bits_is_not_sampled_by_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsad_cli.runs.run.default_engine", lambda _: "vllm")
    four = validate_recipe({"student": {"load_in_4bit": True}}, "test")
    assert Run.create("four", four).recipe.student.sampled_by == "hf"
    with pytest.raises(UsageError, match="engine"):
        validate_recipe({"student": {"load_in_4bit": True, "engine": "vllm"}}, "test")


def test_a_run_of_an_earlier_version_keeps_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsad_cli.runs.run.default_dtype", lambda _: "bfloat16")
    monkeypatch.setattr("nsad_cli.runs.run.default_engine", lambda _: "vllm")
    run = Run.create("one", Recipe())
    run.write_recipe(Recipe())  # as earlier versions did
    again = Run.create("one", Recipe()).recipe.student
    assert again.dtype == "auto"
    assert again.sampled_by == "hf"


@pytest.mark.parametrize(
    "change",
    [
        {"created": None},
        {"versions": []},
        {"store": 3},
        {"stages": []},
        {"stages": {"nat": "finished"}},
        {"stages": {"nat": {"state": "finished", "result": []}}},
        {"stages": {"nat": {"state": "finished", "started": "now"}}},
    ],
)
def test_a_malformed_manifest_costs_that_run_a_line(change: dict[str, object]) -> None:
    run, other = Run.create("one", Recipe()), Run.create("two", Recipe())
    path = run.path / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(NsadError, match="cannot be read") as caught:
        run.manifest()
    assert "malformed" in caught.value.why
    assert other.manifest()["name"] == "two"


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "{}", "3"])
def test_a_manifest_that_is_none_is_reported(text: str) -> None:
    run = Run.create("one", Recipe())
    (run.path / "manifest.json").write_text(text)
    with pytest.raises(NsadError, match="cannot be read"):
        run.manifest()


def test_a_pipe_in_place_of_a_manifest_is_not_read() -> None:
    run = Run.create("one", Recipe())
    (run.path / "manifest.json").unlink()
    os.mkfifo(run.path / "manifest.json")
    with pytest.raises(NsadError, match="cannot be read"):
        run.manifest()


def test_a_default_run_outside_of_the_home_is_ignored() -> None:
    inside = Run.create("one", Recipe())
    outside = runs_home() / ".." / "outside"
    outside.mkdir()
    (outside / "manifest.json").write_text((inside.path / "manifest.json").read_text())
    (runs_home() / ".chosen").write_text("../outside\n")
    assert Run.open().name == "one"


def test_a_run_killed_while_it_is_created_is_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsad_cli.runs.run.versions", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Run.create("one", Recipe(seed=5))
    assert list_runs() == []
    monkeypatch.undo()


def test_a_run_keeps_numbers_whose_default_has_changed() -> None:
    """Those of the former defaults alone: what a recipe sets, or a run has otherwise, is not touched."""
    then = {"nce": {"warmup_steps": 1000, "batch_size": 1}, "nat": {"warmup_steps": 50}, "ranker": {"warmup_steps": 0}}
    run = Run.create("old", Recipe.model_validate({"training": then}))
    again = Run.create("old", Recipe.model_validate({"training": {"ranker": {"warmup_steps": 3}}})).recipe.training
    assert (again.nce.warmup_steps, again.nce.batch_size) == (1000, 1)
    assert (again.nat.warmup_steps, again.ranker.warmup_steps) == (None, 3)
    new = Run.create("new", Recipe()).recipe.training
    assert (new.nce.warmup_steps, new.nce.batch_size, new.ranker.warmup_steps) == (None, 8, None)
    (run.path / "recipe.yaml").write_text("training: [")
    replaced = Run.create("old", Recipe.model_validate({"student": {"dtype": "float32"}})).recipe.training
    assert (replaced.nce, replaced.nat) == (Recipe().training.nce, Recipe().training.nat)
