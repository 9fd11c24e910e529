"""Equivalence of answers: cheap deciders here, math-verify in processes with a time and a memory limit.

math-verify may prove two answers equal, and never different: it drops what it cannot read and compares the rest.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import subprocess
import sys
import time
from enum import Enum
from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError
from nsad_cli.grading.equivalence.decide import decide
from nsad_cli.grading.equivalence.decision import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

MEMORY = 2 * 2**30
WORTH_A_PROCESS = 25
"""Pairs for which a further process is started: its start takes as long as many pairs."""
START_LIMIT = 60.0
"""Seconds for a worker to import its libraries."""


class Equivalence(Enum):
    """What checking a pair came to; UNDECIDED where neither checker can tell."""

    EQUAL = "equal"
    DIFFERENT = "different"
    UNDECIDED = "undecided"
    TIMEOUT = "timeout"


_FINAL = {
    Decision.EQUAL: Equivalence.EQUAL,
    Decision.DIFFERENT: Equivalence.DIFFERENT,
    Decision.UNDECIDABLE: Equivalence.UNDECIDED,
}


class Checker:
    """Decides pairs, each once; workers start when first needed and end with the context."""

    def __init__(self, *, seconds: float = 5.0, workers: int | None = None) -> None:
        self.seconds = seconds
        self._count = workers or max(1, min(4, os.cpu_count() or 1))
        self._workers: list[_Worker] = []
        self._cache: dict[tuple[str, str], Equivalence] = {}

    def __enter__(self) -> Checker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers.clear()

    def equivalent(
        self,
        pairs: Sequence[tuple[str, str]],
        on_progress: Callable[[int, int], None] = lambda *_: None,
        *,
        wait: bool = True,
    ) -> list[Equivalence]:
        """Decide pairs, in order; symmetric.

        wait=False: what only the second checker can decide is undecided for now, and its process starts meanwhile.
        """
        keys = [(a, b) if a <= b else (b, a) for a, b in pairs]
        waiting = []
        for key in dict.fromkeys(keys):
            if key in self._cache:
                continue
            decision = decide(*key)
            if decision is Decision.OPEN:
                waiting.append(key)
            else:
                self._cache[key] = _FINAL[decision]
        if waiting and not wait:
            self._start_workers(1)
            return [self._cache.get(key, Equivalence.UNDECIDED) for key in keys]
        self._second_checker(waiting, on_progress)
        return [self._cache[key] for key in keys]

    def _start_workers(self, count: int) -> None:
        while len(self._workers) < count:
            self._workers.append(_Worker())

    def _second_checker(self, waiting: list[tuple[str, str]], on_progress: Callable[[int, int], None]) -> None:
        total, queue = len(waiting), list(reversed(waiting))
        self._start_workers(min(self._count, math.ceil(total / WORTH_A_PROCESS)))
        busy: dict[_Worker, tuple[str, str]] = {}
        with selectors.DefaultSelector() as selector:
            while queue or busy:
                for worker in self._workers:
                    if worker not in busy and queue:
                        busy[worker] = queue.pop()
                        worker.ask(busy[worker], self.seconds)
                        selector.register(worker.output, selectors.EVENT_READ, worker)
                wait = max(0.0, min(worker.deadline for worker in busy) - time.monotonic())
                answered = [key.data for key, _ in selector.select(timeout=wait)]
                late = [worker for worker in busy if worker not in answered and worker.deadline <= time.monotonic()]
                for worker in (*answered, *late):
                    outcome = worker.read() if worker in answered else Equivalence.TIMEOUT
                    if outcome is None:  # it became ready: the question's own time starts now
                        worker.deadline = time.monotonic() + self.seconds
                        continue
                    selector.unregister(worker.output)
                    if worker in late or not worker.alive():
                        worker.restart()
                    self._cache[busy.pop(worker)] = outcome
                    on_progress(total - len(queue) - len(busy), total)


class _Worker:
    """One process; a question at a time."""

    def __init__(self) -> None:
        self.deadline = 0.0
        self._start()

    def _start(self) -> None:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "nsad_cli.grading.math_verify_worker", str(MEMORY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._input, self.output = self._process.stdin, self._process.stdout
        os.set_blocking(self.output.fileno(), False)
        self._ready, self._buffer = False, b""

    def ask(self, pair: tuple[str, str], seconds: float) -> None:
        self.deadline = time.monotonic() + (seconds if self._ready else START_LIMIT)
        with contextlib.suppress(BrokenPipeError):  # a worker that died is noticed when it is read
            self._input.write(json.dumps(pair).encode() + b"\n")
            self._input.flush()

    def read(self) -> Equivalence | None:
        """The outcome, or None where the worker has only become ready; a worker that died decided nothing."""
        chunk = self.output.read()
        if chunk == b"":
            if not self._ready:
                raise self._cannot_start()
            return Equivalence.UNDECIDED
        self._buffer += chunk or b""
        while b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            if line == b"ready":
                self._ready = True
                continue
            return Equivalence.EQUAL if line == b"true" else Equivalence.UNDECIDED
        return None

    def _cannot_start(self) -> NsadError:
        assert self._process.stderr is not None
        lines = self._process.stderr.read().decode(errors="replace").strip().splitlines()
        return NsadError(
            "the second checker cannot start",
            lines[-1] if lines else "its process ended at once",
            "see what is missing with `nsad doctor`",
        )

    def alive(self) -> bool:
        return self._process.poll() is None

    def restart(self) -> None:
        self.stop()
        self._start()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        self.output.close()
        if self._process.stderr is not None:
            self._process.stderr.close()
