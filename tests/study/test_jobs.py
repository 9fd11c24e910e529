"""Cells of a study as jobs: by submitit with a Slurm of one node and with its local executor, and without either."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from nsad_cli.config.validation import validate_recipe
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.runs.run import Run, runs_home
from nsad_cli.study.definition import load_study
from nsad_cli.study.execute import in_order, run_study
from nsad_cli.study.jobs import submitted
from nsad_cli.study.progress import last_event
from nsad_cli.study.results import study_results
from nsad_cli.study.slurm import minutes, parse_parameters, require_slurm
from nsad_cli.training.interrupts import InterruptCallback
from tests.helpers import fake_slurm
from tests.helpers.notes import recorded_notes
from tests.helpers.study_files import study_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nsad_cli.study.cell_job import CellJob

SLURM = ("--launcher", "slurm", "--slurm", "time=0:30:00")
LONG = {"cot-kd": {"set": {"training.baseline.epochs": 60}}}
needs_submitit = pytest.mark.skipif(
    importlib.util.find_spec("submitit") is None, reason="submitit is not installed: pip install 'nsad[slurm]'"
)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a fake Slurm, whose commands are on the PATH."""
    for name, value in fake_slurm.install(tmp_path / "slurm").items():
        monkeypatch.setenv(name, value)
    yield tmp_path / "slurm"
    fake_slurm.end_all(tmp_path / "slurm")


@pytest.fixture
def _signals() -> Iterator[None]:
    """A cell's job replaces signal handlers of its process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def start(path: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "nsad_cli", "study", str(path), "--json", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result_of(process: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    """The results and the notes of a study's command that succeeds."""
    said, notes = process.communicate(timeout=1800)
    assert process.returncode == 0, notes
    return json.loads(said), notes


def wait_until(condition: Callable[[], Any], process: subprocess.Popen[Any] | None = None) -> None:
    deadline = time.monotonic() + 900
    while not condition():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)


def trains(name: str, step: int = 2) -> bool:
    """Whether a run's newest event is of the stage cot-kd, at a step or after it."""
    event = last_event(runs_home() / name / "events.jsonl")
    return event is not None and event[0] == "cot-kd" and event[1] >= step


def weights(name: str, stage: str) -> bytes:
    return (Run.open(name).adapter_path(stage) / "adapter_model.safetensors").read_bytes()


@needs_submitit
@pytest.mark.slow
def test_each_cell_is_a_job_and_shared_stages_are_trained_once(tiny_llama: Path, tmp_path: Path, slurm: Path) -> None:
    arms = {"nat": None, "longer": {"model": "nat", "set": {"training.nat.epochs": 2}}, "base": None}
    path = study_file(tmp_path, tiny_llama, arms)
    more = ("--slurm", "partition=gpu", "--slurm", "gpus=1")
    result, notes = result_of(start(path, *SLURM, *more))
    assert fake_slurm.submissions(slurm) == ["1", "2", "3"]
    first, second, third = (fake_slurm.script(slurm, job) for job in ("1", "2", "3"))
    for line in (
        "--partition=gpu",
        "--gpus=1",
        "--requeue",
        "--time=30",
        "--job-name=compare.nat.0",
        "--signal=USR2@90",
    ):
        assert f"#SBATCH {line}\n" in first
    assert "#SBATCH --dependency=afterany:1\n" in second
    assert "--dependency" not in first + third
    assert "study: compare.longer.0: job 2, after 1" in notes
    copied = {row["run"]: row["copied"] for row in result["cells"]}
    assert copied == {"compare.nat.0": {}, "compare.longer.0": {"negative": "compare.nat.0"}, "compare.base.0": {}}
    assert all(row["p"] is not None for row in result["arms"][1:])

    again, _ = result_of(start(path, *SLURM, *more))
    assert again == result
    assert len(fake_slurm.submissions(slurm)) == 3, "finished cells are not submitted again"


@needs_submitit
@pytest.mark.slow
def test_a_preempted_job_resumes_and_the_watcher_may_leave(tiny_llama: Path, tmp_path: Path, slurm: Path) -> None:
    path, name = study_file(tmp_path, tiny_llama, LONG, equal="total-tokens"), "compare.cot-kd.0"
    watcher = start(path, *SLURM)
    wait_until(lambda: trains(name), watcher)
    watcher.send_signal(signal.SIGINT)
    _, notes = watcher.communicate(timeout=300)
    assert watcher.returncode == 130
    assert "1 jobs go on without this command; to cancel them: scancel 1" in notes
    assert "to resume: nsad study" in notes
    watcher = start(path, *SLURM)  # while the job runs, and holds the run
    fake_slurm.send(slurm, "1", signal.SIGUSR2)
    result, _ = result_of(watcher)
    assert [row["state"] for row in result["cells"]] == ["finished"]
    assert fake_slurm.submissions(slurm) == ["1"]
    log = (runs_home() / "studies" / "compare" / "logs" / f"{name}.log").read_text()
    assert "cot-kd: resuming at step" in log

    study = load_study(str(path), name="here")
    run_study(study, in_order)
    assert weights("here.cot-kd.0", "cot-kd") == weights(name, "cot-kd")


@needs_submitit
@pytest.mark.slow
def test_a_cancelled_job_is_a_failed_cell_and_is_submitted_again(tiny_llama: Path, tmp_path: Path, slurm: Path) -> None:
    path, name = study_file(tmp_path, tiny_llama, LONG), "compare.cot-kd.0"
    watcher = start(path, *SLURM)
    wait_until(lambda: trains(name), watcher)
    watcher.send_signal(signal.SIGINT)
    watcher.communicate(timeout=300)
    subprocess.run(["scancel", "1"], check=True)
    wait_until(lambda: json.loads((slurm / "state" / "1.json").read_text())["state"] == "CANCELLED")
    again, notes = result_of(start(path, *SLURM))
    assert "job 1 has failed and is submitted again" in notes
    assert "CANCELLED" in notes
    assert fake_slurm.submissions(slurm) == ["1", "2"]
    assert [row["state"] for row in again["cells"]] == ["finished"]
    log = (runs_home() / "studies" / "compare" / "logs" / f"{name}.log").read_text()
    assert "cot-kd: resuming at step" in log, "SIGTERM has written a checkpoint"


@needs_submitit
@pytest.mark.slow
def test_submitits_local_executor_requeues_a_cell(tiny_llama: Path, tmp_path: Path) -> None:
    import submitit

    name, states = "compare.cot-kd.0", dict[str, str]()
    study = load_study(str(study_file(tmp_path, tiny_llama, LONG)))
    executor = submitit.LocalExecutor(study.path / "jobs")
    executor.update_parameters(timeout_min=60)
    preempted = []

    def watch(cell: str, state: str) -> None:
        states[cell] = state
        if state == "running" and not preempted:
            wait_until(lambda: trains(name))
            (task,) = (one for one in psutil.Process().children(True) if "submitit.core._submit" in one.cmdline())
            task.send_signal(signal.SIGUSR2)
            preempted.append(task)

    cells, failures = run_study(study, submitted(executor), watch=watch)
    assert not failures
    assert preempted
    assert states == {name: "finished"}
    log = (study.path / "logs" / f"{name}.log").read_text()
    assert "cot-kd: resuming at step" in log
    assert study_results(study, cells, failures)["arms"][0]["accuracy"] is not None


class Job:
    """A job that has ended, with submitit's interface."""

    def __init__(self, folder: Path, job_id: str) -> None:
        self.job_id, self._file = job_id, folder / f"{job_id}.result"
        self.state = "COMPLETED" if self._file.exists() else "OUT_OF_MEMORY"
        self.paths = self
        self.stderr = folder / f"{job_id}.err"

    def done(self, force_check: bool = False) -> bool:  # noqa: ARG002  # submitit's interface
        return True

    def result(self) -> Any:
        if not self._file.exists():
            raise RuntimeError("no output\nDetected 1 oom-kill event")
        return json.loads(self._file.read_text())


class Executor:
    """An executor of submitit's interface that runs a job while it is submitted; every `lost` one has no result."""

    job_class = Job

    def __init__(self, folder: Path, lost: tuple[int, ...] = (), refused: bool = False) -> None:
        self.folder, self.lost, self.refused = folder, lost, refused
        self.parameters: list[dict[str, Any]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def update_parameters(self, **values: Any) -> None:
        self.parameters.append(values)

    def submit(self, job: CellJob) -> Job:
        if self.refused:
            raise RuntimeError("sbatch: error: invalid partition specified: gpuu")
        number = len(self.parameters)
        if number not in self.lost:
            (self.folder / f"{number}.result").write_text(json.dumps(job()))
        return Job(self.folder, str(number))


@pytest.mark.usefixtures("_signals")
def test_a_failed_job_is_reported_and_submitted_again(tiny_llama: Path, tmp_path: Path) -> None:
    arms = {"base": None, "empty": {"model": "cot-kd", "set": {"training.baseline.max_chars": 1}}}
    study = load_study(str(study_file(tmp_path, tiny_llama, arms)))
    executor, said = Executor(tmp_path / "jobs", lost=(1,)), recorded_notes()
    _, failures = run_study(study, submitted(executor))
    assert failures["compare.base.0"].why == "OUT_OF_MEMORY: Detected 1 oom-kill event"
    assert "1.err" in failures["compare.base.0"].fix
    assert "no rationale" in str(failures["compare.empty.0"]), "the cell's own error"
    cells, failures = run_study(study, submitted(executor))
    assert list(failures) == ["compare.empty.0"]
    assert len(executor.parameters) == 4
    assert any("compare.base.0: job 1 has failed and is submitted again" in text for text in said)
    assert study_results(study, cells, failures)["arms"][0]["accuracy"] is not None
    run_study(study, submitted(executor))
    assert len(executor.parameters) == 5, "only the one that fails"


def test_a_refused_job_is_an_error_of_three_parts(tiny_llama: Path, tmp_path: Path) -> None:
    study = load_study(str(study_file(tmp_path, tiny_llama, ["base"])))
    with pytest.raises(NsadError, match="invalid partition specified") as refused:
        run_study(study, submitted(Executor(tmp_path / "jobs", refused=True)))
    assert "--slurm" in refused.value.fix


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
    for flags, said in (
        (["--slurm", "time=1"], "--slurm needs --launcher slurm"),
        ([*SLURM, "--jobs", "2"], "--jobs needs --launcher local"),
        (["--launcher", "slrm"], "did you mean `slurm`"),
    ):
        process = start(tmp_path / "none.yaml", *flags)
        _, notes = process.communicate(timeout=300)
        assert process.returncode == 2
        assert said in notes


@pytest.mark.usefixtures("_signals")
def test_a_repeated_sigterm_lets_training_finish_its_step() -> None:
    callback = InterruptCallback()
    with callback.handling_signals():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert callback.interrupted
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
