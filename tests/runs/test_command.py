"""A run knows the command that made it, and what state the whole of it is in."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from nsad_cli.config.schema import Recipe
from nsad_cli.config.stages import RUN_ORDER
from nsad_cli.runs import command as command_module
from nsad_cli.runs.command import command, command_line, resume_command, resume_hint, set_command, unfinished_stages
from nsad_cli.runs.run import Run, run_state
from nsad_cli.utils.api_keys import redact_argument

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STAGE = ("collect", "grade", "negative", "nat", "nce")


@pytest.fixture(autouse=True)
def no_command() -> Iterator[None]:
    command_module._current[:] = []
    yield
    command_module._current[:] = []


def finish(run: Run, *names: str) -> Run:
    for name in names:
        with run.stage(name, "key"):
            pass
    return run


def interrupt(run: Run, name: str, error: type[BaseException] = KeyboardInterrupt) -> None:
    with pytest.raises(error), run.stage(name, "key"):
        raise error


def resume(run: Run) -> str | None:
    return resume_command(run.name, run.manifest())[0]


def test_a_pipeline_of_one_command_ends_with_its_evaluation() -> None:
    set_command(["run", "demo", "--student", "a model", "--run", "x"])
    run = Run.create("x", Recipe())
    assert (run_state(run), resume(run)) == ("empty", "nsad run demo --student 'a model' --run x")
    finish(run, *STAGE)
    assert (run_state(run), resume(run)) == ("unfinished", "nsad run demo --student 'a model' --run x")
    assert resume_command("x", run.manifest())[1] == os.getcwd()
    with run.lock():
        assert run_state(run) == "running"
    finish(run, *RUN_ORDER)
    assert run_state(run) == "finished"


def test_a_run_of_a_study_ends_with_its_evaluation() -> None:
    set_command(["study", "compare.yaml", "--jobs", "2"])
    run = finish(Run.create("compare.cot-kd.0", Recipe()), "collect", "grade", "cot-kd")
    assert run_state(run) == "unfinished"
    assert resume_command(run.name, run.manifest())[0] == "nsad study compare.yaml --jobs 2"
    finish(run, "eval")
    assert run_state(run) == "finished"
    assert not unfinished_stages(run.manifest())


def test_a_pipeline_by_hand_ends_with_its_student() -> None:
    set_command(["collect", "--limit", "3"])
    run = finish(Run.create("x", Recipe()), "collect", "grade", "negative", "nat")
    assert (run_state(run), resume(run)) == ("unfinished", "nsad train-nce --run x")
    finish(run, "nce")
    assert run_state(run) == "finished"


@pytest.mark.parametrize(("error", "state"), [(KeyboardInterrupt, "interrupted"), (ValueError, "failed")])
def test_the_interrupted_command_resumes_and_the_first_one_stays(error: type[BaseException], state: str) -> None:
    set_command(["run", "demo"])
    run = finish(Run.create("demo", Recipe()), "collect", "grade")
    set_command(["train-nat", "--run", "demo", "--epochs", "2"])
    interrupt(run, "negative", error)
    assert (run_state(run), resume(run)) == (state, "nsad train-nat --run demo --epochs 2")
    assert command_line(run.manifest()["command"]) == "nsad run demo"


def test_a_killed_stage() -> None:
    set_command(["demo"])
    run = Run.create("demo", Recipe())
    manifest = run.manifest()
    manifest["stages"]["collect"] = {"state": "running", "key": "k", "started": 1.0, "command": command()}
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    assert (run_state(run), resume(run)) == ("stopped", "nsad demo")


def test_runs_that_record_no_command_open() -> None:
    run = Run.create("old", Recipe())
    assert "command" not in run.manifest()
    interrupt(run, "nat")
    assert "command" not in run.stages()["nat"]
    assert (run_state(run), resume(run)) == ("interrupted", None)
    assert resume_hint() == "run the same command again to resume"


@pytest.mark.parametrize(
    "argument", ["a b", "'", '"', "$HOME", "two  spaces", "line\nbreak", "tab\tand \\ 'quote'", "é π \x07", "*", ""]
)
def test_a_shell_reads_the_command_as_it_was_typed(argument: str) -> None:
    set_command(["solve", argument])
    line = command_line(command())
    assert line is not None
    assert "\n" not in line
    script = line.replace("nsad solve", "printf '%s'", 1)
    read = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True, env={"LC_ALL": "C.UTF-8"})
    assert read.stdout == argument


@pytest.mark.parametrize(
    "argument",
    [
        "sk-abcdefghijklmnopqrstuv",
        "sk-proj-abcdefghij_klmn-0pQrstuv",
        "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH",
        "http://user:hunter2/hunter2hunter2@host/v1",
        "teacher.base_url=[http://user:hunter2hunter2@host/v1]",
        "http://host/v1?key=hunter2hunter2",
        "server@https://u:hunter2hunter2@host",
        "x=hunter2hunter2",
    ],
)
def test_secrets_are_not_recorded(argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "hunter2hunter2")
    set_command(["run", "demo", "--set", argument])
    text = json.dumps(command())
    assert "hunter2" not in text
    assert "abcdefghij" not in text
    assert "***" in text


@pytest.mark.parametrize(
    "argument",
    [
        "--base-url",
        "http://127.0.0.1:8000/v1",
        "hf-internal-testing/tiny-random-LlamaForCausalLM",
        "/data/sk_learn_comparison_runs/x",
        "sk-experiments-of-tuesday",
        "a@b",
        "x?y",
    ],
)
def test_other_arguments_are_recorded_as_they_are(argument: str) -> None:
    assert redact_argument(argument) == argument


def test_a_launcher_hides_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    set_command(["run", "demo"])
    assert command() is None


def test_arguments_are_split_as_they_were() -> None:
    arguments = ["run", "my recipe.yaml", "--set", "a={b: [1, 2]}"]
    set_command(arguments)
    assert shlex.split(str(command_line(command()))) == ["nsad", *arguments]


def test_a_command_with_a_secret_is_not_printed_to_resume() -> None:
    set_command(["run", "demo", "--set", "x=sk-abcdefghijklmnopqrstuv"])
    assert command_line(command()) is None
    assert resume_hint() == "run the same command again to resume"


def test_flags_before_the_command_do_not_hide_it() -> None:
    set_command(["--debug", "run", "demo"])
    assert unfinished_stages({"stages": {}, "command": command()})[-1] == "eval"


def test_a_deleted_working_folder_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    set_command(["run", "demo"])
    assert command() == {"argv": ["run", "demo"]}
