"""Cells of a study as jobs, with a tiny student: by submitit with a Slurm of one node, and without either."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.errors import NsadError
from nsad_cli.runs.run import Run, runs_home
from nsad_cli.study.definition import load_study
from nsad_cli.study.execute import in_order, run_study
from nsad_cli.study.jobs import submitted
from nsad_cli.study.progress import last_event
from nsad_cli.study.results import study_results
from tests.helpers import fake_slurm
from tests.helpers.notes import recorded_notes
from tests.helpers.optional_packages import needs_submitit
from tests.helpers.study_files import study_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nsad_cli.study.cell_job import CellJob

SLURM = ("--launcher", "slurm", "--slurm", "time=0:30:00")


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a fake Slurm, whose commands are on the PATH."""
    with fake_slurm.installed(tmp_path / "slurm", monkeypatch) as folder:
        yield folder


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
    """Whether a run's newest event is of the stage nat, at a step or after it."""
    event = last_event(runs_home() / name / "events.jsonl")
    return event is not None and event[0] == "nat" and event[1] >= step


def weights(name: str, stage: str) -> bytes:
    return (Run.open(name).adapter_path(stage) / "adapter_model.safetensors").read_bytes()


@needs_submitit
@pytest.mark.slow
def test_each_cell_is_a_job_and_a_preempted_one_resumes(tiny_llama: Path, tmp_path: Path, slurm: Path) -> None:
    arms = {"nat": None, "longer": {"model": "nat", "set": {"training.nat.epochs": 20}}}
    path, name = study_file(tmp_path, tiny_llama, arms), "compare.longer.0"
    watcher = start(path, *SLURM)
    wait_until(lambda: trains(name), watcher)
    fake_slurm.send(slurm, "2", signal.SIGUSR2)
    result, notes = result_of(watcher)
    assert fake_slurm.submissions(slurm) == ["1", "2"]
    assert "study: compare.longer.0: job 2, after 1" in notes
    assert {row["run"]: row["copied"] for row in result["cells"]} == {
        "compare.nat.0": {},
        name: {"negative": "compare.nat.0"},
    }
    assert result["arms"][1]["p"] is not None
    assert "nat: resuming at step" in (runs_home() / "studies" / "compare" / "logs" / f"{name}.log").read_text()

    again, _ = result_of(start(path, *SLURM))
    assert again == result
    assert fake_slurm.submissions(slurm) == ["1", "2"], "finished cells are not submitted again"
    study = load_study(str(path), name="here")
    run_study(study, in_order)
    assert weights("here.longer.0", "nat") == weights(name, "nat")


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
