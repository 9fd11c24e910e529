"""Decide the equivalence of answers: fast rules and plugins in this process, math-verify in worker processes.

math-verify may prove two answers equal, never different: it drops what it cannot parse and compares the rest.
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

from nsad_cli.config.plugins import CHECKERS, plugins
from nsad_cli.errors import NsadError
from nsad_cli.grading.equivalence.decide import decide
from nsad_cli.grading.equivalence.decision import Decision
from nsad_cli.utils.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

MEMORY_LIMIT_BYTES = 2 * 2**30
"""The address space of a worker process."""
PAIRS_PER_WORKER = 25
"""Pairs that justify one more worker process: starting it takes as long as deciding many pairs."""
START_TIMEOUT_SECONDS = 60.0
"""Time limit for a worker process to import its libraries."""


class Equivalence(Enum):
    """The result of comparing two answers; UNDECIDED if neither checker can decide."""

    EQUAL = "equal"
    DIFFERENT = "different"
    UNDECIDED = "undecided"
    TIMEOUT = "timeout"


_FINAL = {
    Decision.EQUAL: Equivalence.EQUAL,
    Decision.DIFFERENT: Equivalence.DIFFERENT,
    Decision.UNDECIDABLE: Equivalence.UNDECIDED,
}


def decide_by_plugins(first: str, second: str) -> bool | None:
    """Ask the checkers of plugins, in the order of their names, about a pair that the built-in rules leave open.

    A checker is a function of two answers that returns True (equal), False (different) or None (undecided). One that
    raises an error is logged and counts as undecided.

    Returns:
        The first answer that is not None; None if there is none.
    """
    for name, check in plugins(CHECKERS).items():
        try:
            found = check(first, second)
        except Exception as error:  # a plugin may raise any exception
            logger.warning("the checker `%s` failed on `%s` and `%s`: %r", name, first, second, error)
            continue
        if found is not None:
            return bool(found)
    return None


class Checker:
    """Decides whether answers are equivalent and caches every decision.

    Worker processes start when they are first needed and end when the context exits.

    Args:
        seconds: The time limit of the second checker for each pair.
        workers: The maximum number of worker processes; by default up to four, one for each CPU.
    """

    def __init__(self, *, seconds: float = 5.0, workers: int | None = None) -> None:
        self.seconds = seconds
        self._max_workers = workers or max(1, min(4, os.cpu_count() or 1))
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

    def forget(self) -> None:
        """Drop all cached decisions, which a process that runs for long would otherwise gather."""
        self._cache.clear()

    def equivalent(
        self,
        pairs: Sequence[tuple[str, str]],
        on_progress: Callable[[int, int], None] = lambda *_: None,
        *,
        wait: bool = True,
    ) -> list[Equivalence]:
        """Decide whether the two answers of each pair are equivalent; the order within a pair does not matter.

        Args:
            pairs: Pairs of answers.
            on_progress: Called with (done, total) pairs that the second checker has to decide.
            wait: If False, do not wait for the second checker: pairs that need it are UNDECIDED for now, and its
                process is started in the background.

        Returns:
            One result for each pair, in order.

        Raises:
            NsadError: The second checker cannot start.
        """
        keys = [(a, b) if a <= b else (b, a) for a, b in pairs]
        open_pairs = []
        for key in dict.fromkeys(keys):
            if key in self._cache:
                continue
            decision = decide(*key)
            if decision in (Decision.OPEN, Decision.UNDECIDABLE) and (found := decide_by_plugins(*key)) is not None:
                decision = Decision.EQUAL if found else Decision.DIFFERENT
            if decision is Decision.OPEN:
                open_pairs.append(key)
            else:
                self._cache[key] = _FINAL[decision]
        if open_pairs and not wait:
            self._start_workers(1)
            return [self._cache.get(key, Equivalence.UNDECIDED) for key in keys]
        self._run_second_checker(open_pairs, on_progress)
        return [self._cache[key] for key in keys]

    def _start_workers(self, count: int) -> None:
        while len(self._workers) < count:
            self._workers.append(_Worker())

    def _run_second_checker(self, open_pairs: list[tuple[str, str]], on_progress: Callable[[int, int], None]) -> None:
        total, queue = len(open_pairs), list(reversed(open_pairs))
        self._start_workers(min(self._max_workers, math.ceil(total / PAIRS_PER_WORKER)))
        busy: dict[_Worker, tuple[str, str]] = {}
        with selectors.DefaultSelector() as selector:
            while queue or busy:
                for worker in self._workers:
                    if worker not in busy and queue:
                        busy[worker] = queue.pop()
                        worker.send(busy[worker], self.seconds)
                        selector.register(worker.output, selectors.EVENT_READ, worker)
                wait = max(0.0, min(worker.deadline for worker in busy) - time.monotonic())
                answered = [key.data for key, _ in selector.select(timeout=wait)]
                late = [worker for worker in busy if worker not in answered and worker.deadline <= time.monotonic()]
                for worker in (*answered, *late):
                    outcome = worker.read() if worker in answered else Equivalence.TIMEOUT
                    if outcome is None:  # the worker became ready: the time limit of the pair starts now
                        worker.deadline = time.monotonic() + self.seconds
                        continue
                    selector.unregister(worker.output)
                    if worker in late or not worker.is_alive():
                        worker.restart()
                    self._cache[busy.pop(worker)] = outcome
                    on_progress(total - len(queue) - len(busy), total)


class _Worker:
    """A worker process of the second checker; it handles one pair at a time."""

    def __init__(self) -> None:
        self.deadline = 0.0
        self._start()

    def _start(self) -> None:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "nsad_cli.grading.math_verify_worker", str(MEMORY_LIMIT_BYTES)],
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
        self._ready, self._ended, self._buffer = False, False, b""

    def send(self, pair: tuple[str, str], seconds: float) -> None:
        self.deadline = time.monotonic() + (seconds if self._ready else START_TIMEOUT_SECONDS)
        with contextlib.suppress(BrokenPipeError):  # read() notices a worker that died
            self._input.write(json.dumps(pair).encode() + b"\n")
            self._input.flush()

    def read(self) -> Equivalence | None:
        """The result; None if the worker has only reported ready. A worker that died has decided nothing."""
        chunk = self.output.read()
        if chunk == b"":
            if not self._ready:
                raise self._cannot_start()
            self._ended = True
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

    def is_alive(self) -> bool:
        return not self._ended and self._process.poll() is None

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
