"""Jobs of cells without a student: submission, dependencies, requeueing, and watching again; parameters and flags."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from nsad_cli.config.validation import validate_recipe
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.study import jobs
from nsad_cli.study.definition import study_path
from nsad_cli.study.slurm import MAX_TIMEOUTS, minutes, parse_parameters, require_slurm, slurm_executor
from tests.helpers import fake_slurm
from tests.helpers.light_cells import LightCell, LightJob
from tests.helpers.notes import recorded_notes
from tests.helpers.nsad_process import failure, run_nsad
from tests.helpers.optional_packages import needs_submitit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a fake Slurm, whose commands are on the PATH, with light cells."""
    light(monkeypatch)
    if importlib.util.find_spec("submitit") is not None:
        from submitit import SlurmJob

        SlurmJob.watcher.clear()  # it remembers jobs of other tests, whose numbers are the same
    with fake_slurm.installed(tmp_path / "slurm", monkeypatch) as folder:
        yield folder


def light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "CellJob", LightJob)
    monkeypatch.setattr(jobs, "first_stage_keys", lambda cell: cell.keys)
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.2)
    monkeypatch.setattr(jobs, "CHECK_SECONDS", 1.0)


def run_jobs(executor: Any, cells: list[LightCell], watch: Any = None) -> tuple[dict[str, str], dict[str, NsadError]]:
    """Run cells as jobs; what was said of each last, and the errors."""
    states: dict[str, str] = {}
    failures: dict[str, NsadError] = {}

    def say(name: str, state: str) -> None:
        states[name] = state
        if watch is not None:
            watch(name, state)

    study_path(cells[0].study).mkdir(parents=True, exist_ok=True)
    jobs.submitted(executor)(cells, [cell.name for cell in cells], say, failures)  # type: ignore[arg-type]
    return states, failures


def executor_of(tmp_path: Path, *more: str) -> Any:
    return slurm_executor(tmp_path / "jobs", parse_parameters(["time=0:30:00", *more]))


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 900
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def state_of(slurm: Path, job: str) -> str:
    return str(json.loads((slurm / "state" / f"{job}.json").read_text())["state"])


@needs_submitit
def test_the_job_of_a_cell_waits_for_the_one_that_trains_its_stage(tmp_path: Path, slurm: Path) -> None:
    cells = [LightCell("s.nat.0", frozenset("k")), LightCell("s.longer.0", frozenset("k")), LightCell("s.base.0")]
    more = ("partition=gpu", "gpus=1", "account=lab")
    states, failures = run_jobs(executor_of(tmp_path, *more), cells)
    assert states == dict.fromkeys(("s.nat.0", "s.longer.0", "s.base.0"), "finished")
    assert not failures
    first, second, third = (fake_slurm.script(slurm, job) for job in ("1", "2", "3"))
    for flag in ("account=lab", "gpus=1", "job-name=s.nat.0", "partition=gpu", "requeue", "signal=USR2@90", "time=30"):
        assert f"#SBATCH --{flag}\n" in first
    assert "#SBATCH --dependency=afterany:1\n" in second
    assert "--dependency" not in first + third
    run_jobs(executor_of(tmp_path, *more), cells)
    assert fake_slurm.submissions(slurm) == ["1", "2", "3"], "finished cells are not submitted again"
    assert MAX_TIMEOUTS > 3


@needs_submitit
def test_jobs_go_on_without_the_watcher_and_are_requeued(tmp_path: Path, slurm: Path) -> None:
    cell, said = LightCell("s.nat.0"), recorded_notes()

    def leave(_: str, state: str) -> None:
        if state == "running":
            raise KeyboardInterrupt

    cell.run.hold()
    with pytest.raises(KeyboardInterrupt):
        run_jobs(executor_of(tmp_path), [cell], leave)
    assert any("1 jobs go on without this command; to cancel them: scancel 1" in text for text in said)
    wait_until(lambda: cell.run.steps)
    fake_slurm.send(slurm, "1", signal.SIGUSR2)
    wait_until((cell.run.path / "checkpoint").exists)
    cell.run.release()
    states, failures = run_jobs(executor_of(tmp_path), [cell])
    assert states == {cell.name: "finished"}
    assert not failures
    assert fake_slurm.submissions(slurm) == ["1"]
    assert cell.run.steps == list(range(1, len(cell.run.steps) + 1)), "it resumed where it had stopped"


@needs_submitit
def test_a_cancelled_job_stays_cancelled_until_the_same_command(tmp_path: Path, slurm: Path) -> None:
    cell, said = LightCell("s.nat.0"), recorded_notes()

    def cancel(_: str, state: str) -> None:
        if state == "running":
            wait_until(lambda: cell.run.steps)
            subprocess.run(["scancel", "1"], check=True)

    cell.run.hold()
    _, failures = run_jobs(executor_of(tmp_path), [cell], cancel)
    cell.run.release()
    assert failures[cell.name].what == "s.nat.0: job 1 ended without a result"
    assert "CANCELLED" in failures[cell.name].why
    assert (cell.run.path / "checkpoint").exists(), "SIGTERM has written it"
    assert state_of(slurm, "1") == "CANCELLED"
    states, failures = run_jobs(executor_of(tmp_path), [cell])
    assert states == {cell.name: "finished"}
    assert not failures
    assert any("job 1 has failed and is submitted again" in text for text in said)
    assert fake_slurm.submissions(slurm) == ["1", "2"]
    assert cell.run.steps == list(range(1, len(cell.run.steps) + 1))


@needs_submitit
def test_submitits_local_executor_requeues_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import submitit

    light(monkeypatch)
    cell = LightCell("s.nat.0")
    executor = submitit.LocalExecutor(tmp_path / "jobs")
    executor.update_parameters(timeout_min=60)

    def preempt(_: str, state: str) -> None:
        if state == "running":
            wait_until(lambda: cell.run.steps)
            (task,) = (one for one in psutil.Process().children(True) if "submitit.core._submit" in one.cmdline())
            task.send_signal(signal.SIGUSR2)
            wait_until((cell.run.path / "checkpoint").exists)
            cell.run.release()

    cell.run.hold()
    states, failures = run_jobs(executor, [cell], preempt)
    assert states == {cell.name: "finished"}
    assert not failures
    assert cell.run.steps == list(range(1, len(cell.run.steps) + 1))


def test_parameters_of_jobs() -> None:
    assert parse_parameters(["time=90", "gpus-per-node=2", "account=lab", "slurm_mem=16GB"]) == {
        "time": 90,
        "gpus_per_node": 2,
        "account": "lab",
        "mem": "16GB",
    }
    assert [minutes(text) for text in ("90", "5:30", "4:00:00", "1-0", "1-2:30", "0-0:0:1")] == [
        90,
        6,
        240,
        1440,
        1590,
        1,
    ]
    for items, said in (
        (["partition=gpu"], "no time limit"),
        (["time=soon"], "invalid time limit"),
        (["time=0"], "invalid time limit"),
        (["partition"], "not KEY=VALUE"),
        (["time=1", "dependency=x"], "cannot be set"),
    ):
        with pytest.raises(UsageError, match=said):
            parse_parameters(items)


def test_what_jobs_need_is_checked_before_anything_is_spent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recipe = validate_recipe({"student": {"dtype": "float32"}}, "test")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(NsadError, match="submitit is not installed") as missing:
        require_slurm(recipe)
    assert missing.value.fix == 'pip install "nsad[slurm]"'
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NsadError, match="sbatch and srun not found"):
        require_slurm(recipe)
    monkeypatch.setenv("PATH", fake_slurm.install(tmp_path / "slurm")["PATH"])
    require_slurm(recipe)
    with pytest.raises(UsageError, match="dtype of the jobs"):
        require_slurm(validate_recipe({}, "test"))


def test_flags_of_launchers(tmp_path: Path) -> None:
    slurm = ["--launcher", "slurm"]
    for flags, said in (
        (["--slurm", "time=1"], "--slurm needs --launcher slurm"),
        ([*slurm, "--slurm", "time=1", "--jobs", "2"], "--jobs needs --launcher local"),
        (slurm, "the jobs have no time limit"),
        (["--launcher", "slrm"], "did you mean `slurm`"),
    ):
        done = run_nsad(tmp_path, "study", "demo", *flags)
        assert said in "".join(failure(done, 2))
