"""Cells as subprocesses, several at once: `python -m nsad_cli.study.process RUN STUDY STAGE,… KNOWN…`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError, first_line
from nsad_cli.runs.command import set_command
from nsad_cli.runs.run import Run
from nsad_cli.study.definition import study_path
from nsad_cli.study.execute import run_cell
from nsad_cli.utils.files import make_folder, open_no_link
from nsad_cli.utils.logs import NOTE, logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.study.cells import Cell
    from nsad_cli.study.execute import Failures, RunCells, Watch

POLL_SECONDS = 0.2
INTERRUPTED = 130
"""The exit code of a cell's process after SIGTERM, which has written a checkpoint."""
STOP_SECONDS = 30.0
"""The time that a subprocess has to write a checkpoint and exit."""


def at_once(jobs: int) -> RunCells:
    """Return a function that runs up to `jobs` cells at once, each in a process with its share of the cores."""

    def run_cells(cells: Sequence[Cell], known: Sequence[str], watch: Watch, failures: Failures) -> None:
        waiting, running = list(cells), dict[str, subprocess.Popen[str]]()
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    cell = waiting.pop(0)
                    watch(cell.name, "running")
                    running[cell.name] = start(cell.name, cell.study, cell.trained, known, jobs)
                for name in [name for name, process in running.items() if process.poll() is not None]:
                    error = failure(name, running.pop(name))
                    if error is not None:
                        failures[name] = NsadError(*error)
                    watch(name, "finished" if error is None else "failed")
                time.sleep(POLL_SECONDS)
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                _stop(process)

    return run_cells


def start(name: str, study: str, trained: Sequence[str], known: Sequence[str], jobs: int = 1) -> subprocess.Popen[str]:
    """Start the process of a cell.

    Args:
        name: The cell's run.
        study: The study.
        trained: See run_cell, as for `known`.
        known: The names of the study's runs.
        jobs: The number of processes that share the cores.

    Returns:
        The process; its notes go to a log in the study's folder.
    """
    log = study_path(study) / "logs" / f"{name}.log"
    make_folder(log.parent)
    command = [sys.executable, "-P", "-m", "nsad_cli.study.process", name, study, ",".join(trained)]
    threads = max(1, len(os.sched_getaffinity(0)) // jobs) if hasattr(os, "sched_getaffinity") else 1
    with open(log, "a", opener=open_no_link) as output:
        return subprocess.Popen(
            [*command, *known],
            stdin=subprocess.PIPE,  # closed when this process ends, for any reason
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            env={"OMP_NUM_THREADS": str(threads), **os.environ},
        )


def failure(name: str, process: subprocess.Popen[str]) -> tuple[str, str, str] | None:
    """Return the three parts of the error of a cell's process that has ended; None if it succeeded."""
    said, _ = process.communicate()
    if process.returncode == 0:
        return None
    with contextlib.suppress(ValueError, IndexError):
        what, why, fix = json.loads(said.splitlines()[-1])
        return what, why, fix
    return f"{name}: its process ended with code {process.returncode}", "see its log", "run it again"


def _stop(process: subprocess.Popen[str]) -> None:
    try:
        process.communicate(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _end_with_parent() -> None:
    """Interrupt this process when its parent ends, which closes stdin; kill it if that does not end it."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def _interrupt_once(*_: object) -> None:
    """Interrupt this process by the first SIGTERM: a scheduler and the parent may both send one."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> None:
    """Run one cell; the three parts of an error go to stdout as a JSON list, notes to stderr.

    The exit code is 0, 1 after an error, or INTERRUPTED.
    """
    import logging

    name, study, trained, *known = sys.argv[1:]
    signal.signal(signal.SIGTERM, _interrupt_once)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # for the job that started this process, which sends SIGTERM
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(NOTE)
    run = Run.open(name)
    if command := run.manifest().get("command"):
        set_command(command["argv"])  # the study's, which resumes the run
    try:
        run_cell(run, trained.split(",") if trained else (), known, study_path(study) / "locks")
    except NsadError as error:
        print(json.dumps([error.what, error.why, error.fix]), flush=True)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:  # a plugin may raise any exception
        why = f"{type(error).__name__}: {first_line(error)}"
        print(json.dumps([f"{name}: an unexpected error", why, f"see {study_path(study) / 'logs'}"]), flush=True)
    else:
        sys.exit(0)
    sys.exit(1)


if __name__ == "__main__":
    main()
