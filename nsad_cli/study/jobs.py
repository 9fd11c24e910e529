"""Cells as jobs of a scheduler, by an executor of submitit: submission, watching, and watching again."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

from nsad_cli.config.recipes import recipe_yaml
from nsad_cli.config.stages import EVAL
from nsad_cli.errors import NsadError, first_line
from nsad_cli.runs.command import resume_hint
from nsad_cli.runs.run import runs_home
from nsad_cli.study.cell_job import CellJob
from nsad_cli.study.definition import study_path
from nsad_cli.study.shared import first_stage_keys
from nsad_cli.utils.files import write_atomic
from nsad_cli.utils.hashing import content_key
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nsad_cli.study.cells import Cell
    from nsad_cli.study.execute import Failures, RunCells, Watch

FILE = "jobs.json"
"""The newest job of each cell, and the settings that it was submitted with."""
POLL_SECONDS = 2.0
CHECK_SECONDS = 30.0
"""The time between two questions to the scheduler; results are files, which are looked for at every poll."""
WAITING = ("PENDING", "REQUEUED", "READY", "UNKNOWN", "PREEMPTED")


def submitted(executor: Any) -> RunCells:
    """Return a function that runs each cell as a job, and watches the jobs that an earlier call has submitted.

    Of cells with equal stages the first one trains them, and the jobs of the others wait for its end by a dependency
    of the scheduler: locks of files may not hold between nodes, and a job that waits for a file would occupy its node.

    Args:
        executor: An executor of submitit.
    """

    def run_cells(cells: Sequence[Cell], known: Sequence[str], watch: Watch, failures: Failures) -> None:
        if not cells:
            return
        jobs = StudyJobs(executor, cells[0].study, known)
        try:
            jobs.open(cells, watch)
            jobs.watch(watch, failures)
        except BaseException:
            if jobs.running:
                numbers = " ".join(job.job_id for job in jobs.running.values())
                note(f"study: {len(jobs.running)} jobs go on without this command; to cancel them: scancel {numbers}")
                note(f"study: to watch them again, and for the table, run the same command; {resume_hint()}")
            raise

    return run_cells


class StudyJobs:
    """The jobs of a study's cells; `running` has those that have not ended, by the cell's name."""

    def __init__(self, executor: Any, study: str, known: Sequence[str]) -> None:
        self._executor, self._known = executor, known
        self._path = study_path(study) / FILE
        self.running: dict[str, Any] = {}

    def open(self, cells: Sequence[Cell], watch: Watch) -> None:
        """Submit the cells that have not finished and have no job.

        Raises:
            NsadError: The scheduler refuses a job.
        """
        trainer: dict[str, str] = {}
        for cell in cells:
            job = self._earlier_job(cell)
            if job is not None and job.done():
                error = job_error(cell.name, job)
                if error is None and cell.run.stages().get(EVAL.name, {}).get("state") == "finished":
                    watch(cell.name, "finished")
                    continue
                note(f"study: {cell.name}: job {job.job_id} has failed and is submitted again: {error or 'no result'}")
                job = None
            first = {trainer.setdefault(key, cell.name) for key in first_stage_keys(cell)}
            self.running[cell.name] = job or self._submit(cell, [name for name in first if name in self.running])

    def _earlier_job(self, cell: Cell) -> Any:
        """Return the job that was submitted for a cell with the same settings; None if there is none."""
        entry = self._entries().get(cell.name)
        if not isinstance(entry, dict) or entry.get("key") != _key(cell):
            return None
        return self._executor.job_class(self._executor.folder, str(entry["job"]))

    def _submit(self, cell: Cell, after: Sequence[str]) -> Any:
        waits = ":".join(sorted(self.running[name].job_id for name in after))
        # afterany: if the first cell fails, the others still run, and train the stage themselves
        self._executor.update_parameters(job_name=cell.name, dependency=f"afterany:{waits}" if waits else None)
        home = str(runs_home().resolve())
        try:
            job = self._executor.submit(CellJob(cell.name, cell.study, cell.trained, tuple(self._known), home))
        except Exception as error:  # of sbatch or submitit
            raise NsadError(
                f"the job of {cell.name} was refused", first_line(error), "correct the parameters in --slurm"
            ) from error
        entry = {"job": job.job_id, "key": _key(cell)}
        write_atomic(self._path, json.dumps({**self._entries(), cell.name: entry}, indent=1))
        note(f"study: {cell.name}: job {job.job_id}" + (f", after {waits.replace(':', ', ')}" if waits else ""))
        return job

    def _entries(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads(self._path.read_text(encoding="utf-8")))
        return {}

    def watch(self, watch: Watch, failures: Failures) -> None:
        """Wait for the end of all jobs."""
        states: dict[str, str] = {}
        checked = time.monotonic()
        while self.running:
            ask = time.monotonic() - checked > CHECK_SECONDS
            checked = time.monotonic() if ask else checked
            for name, job in list(self.running.items()):
                done = job.done(force_check=ask)
                ask = False  # the answer is about all jobs
                state = "waiting" if job.state.upper() in WAITING else "running"
                if done:
                    error = job_error(name, job)
                    if error is not None:
                        failures[name] = error
                    state = "finished" if error is None else "failed"
                    del self.running[name]
                if states.get(name) != state:
                    states[name] = state
                    watch(name, state)
            if self.running:
                time.sleep(POLL_SECONDS)


def job_error(name: str, job: Any) -> NsadError | None:
    """Return the error of a job that has ended; None if its cell has finished."""
    try:
        said = job.result()
    except Exception as error:  # cancelled, out of memory, a lost node, or an error in submitit
        lines = [line for line in str(error).partition("You can check full logs")[0].splitlines() if line.strip("- ")]
        state, log = job.state, _log(job)
        return NsadError(
            f"{name}: job {job.job_id} ended without a result", f"{state}: {lines[-1][:300]}", f"see {log}"
        )
    return None if said is None else NsadError(*said)


def _log(job: Any) -> Path:
    path: Path = job.paths.stderr
    return path


def _key(cell: Cell) -> str:
    return content_key(recipe_yaml(cell.recipe), cell.trained)
