"""A cell inside a job of a scheduler: its process, and the signals of time limits and preemption."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.study.process import INTERRUPTED, POLL_SECONDS, failure, start

if TYPE_CHECKING:
    import subprocess

KILL_SECONDS = 600.0
"""How long a job waits after SIGTERM for the scheduler to end it."""
STOPPED = (INTERRUPTED, -signal.SIGTERM, -signal.SIGUSR2)
"""Exit codes of a cell's process that was interrupted; the last two, before it handles signals."""


@dataclass(frozen=True, slots=True)
class CellJob:
    """What a job runs, as submitit pickles it: the arguments of process.start, and the folder of all runs.

    The cell is a process of its own, because submitit requeues in a signal handler, inside which no step can be
    finished: SIGTERM makes the process write a checkpoint, from which the same job resumes.
    """

    name: str
    study: str
    trained: tuple[str, ...]
    known: tuple[str, ...]
    home: str

    def __call__(self) -> tuple[str, str, str] | None:
        """Run the cell to its end; after SIGUSR2 (time limit, preemption) write a checkpoint and requeue the job.

        SIGTERM alone also writes a checkpoint, but a job cannot know whether it is preempted, and the scheduler
        requeues it, or cancelled: it waits to be ended.

        Returns:
            The three parts of an error; None if the cell has finished.
        """
        os.environ["NSAD_HOME"] = self.home
        requeue: Any = signal.getsignal(signal.SIGUSR2)  # submitit's
        process = start(self.name, self.study, self.trained, self.known)
        signals: set[int] = set()

        def stop(number: int, _: Any) -> None:
            if not signals:
                process.terminate()
            signals.add(number)

        for number in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, stop)
        self._wait(process, signals)
        if process.returncode in STOPPED and signal.SIGUSR2 in signals and callable(requeue):
            requeue(signal.SIGUSR2, None)  # ends this process
        return failure(self.name, process)

    def _wait(self, process: subprocess.Popen[str], signals: set[int]) -> None:
        while process.poll() is None:
            time.sleep(POLL_SECONDS)
        deadline = time.monotonic() + KILL_SECONDS
        while process.returncode in STOPPED and signal.SIGUSR2 not in signals and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def checkpoint(self) -> Any:
        """Return what the requeued job runs: the same; its run has the checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)
