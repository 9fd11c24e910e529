"""Processes that collect from a local teacher into one store at the same time."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

COLLECT = """
import json, random, sys, time
from pathlib import Path
from nsad_cli.collection.collect import Collection, collect
from nsad_cli.config.schema import TeacherConfig
from nsad_cli.problems import load_problems
from nsad_cli.store.rationales import Store
from nsad_cli.teachers import make_teacher
from nsad_cli.teachers.base import max_in_flight
from nsad_cli.types import Draw
path, spec, limit, draws = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
class BatchTeacher:
    name, params = "batches", {}
    def draw(self, requests, on_draws, on_failure):
        batch, chance = [], random.Random(1)
        while True:
            limit = min(32, max(1, max_in_flight(requests)()))
            while len(batch) < limit and (request := next(requests, None)) is not None:
                for index in request.indices:
                    batch.append([chance.randint(10, 40), Draw(request.problem.id, self.name, index, f"{index}")])
            if not batch:
                return
            time.sleep(0.01)  # a step of all draws in the batch
            for item in list(batch):
                item[0] -= 1
                if item[0] == 0:
                    on_draws([item[1]])
                    batch.remove(item)
if spec.startswith("hf:"):
    import torch, nsad_cli.models.student
    from nsad_cli.generation.hf import _Batch
    torch.set_num_threads(1)
    step = _Batch._step
    def timed(self, states):  # most of the time goes by at the same speed in all processes, however busy the machine is
        time.sleep(0.02)
        return step(self, states)
    _Batch._step = timed
arrived, count = [], Collection.count
def counted(self, draws, new):
    arrived.extend(draws)
    count(self, draws, new)
Collection.count = counted
problems = load_problems("arithmetic:train", limit=limit)
settings = TeacherConfig(max_tokens=32, device="cpu")
teacher = BatchTeacher() if spec == "batches" else make_teacher(spec, settings)
print("ready", flush=True)
sys.stdin.readline()
with Store(Path(path)) as store:
    summary = collect(problems, teacher, draws, store)
print(json.dumps({"new": summary.new, "arrived": len(arrived), "stored": summary.stored}), flush=True)
"""
"""A program that collects from a teacher; `batches` is one that draws as an engine does, at a fixed speed."""
ELSEWHERE = """
import sys, time
from pathlib import Path
from nsad_cli.collection.collect import collect
from nsad_cli.store import heartbeat, processes
from nsad_cli.store.rationales import Store
from tests.helpers.questions import numbered_problems
heartbeat.HEARTBEAT_SECONDS = float(sys.argv[2])
processes._boot_id = lambda: "another-boot"
processes.socket.gethostname = lambda: "other-host"
class BusyTeacher:
    name, params = "t", {}
    def draw(self, requests, on_draws, on_failure):
        next(iter(requests))
        print("ready", flush=True)
        while True:
            sum(range(1000))
with Store(Path(sys.argv[1])) as store:
    collect(numbered_problems(1), BusyTeacher(), 1, store)
"""
"""A process that looks like one of another host, and is busy with a draw until it is killed."""


class OtherProcess:
    """A process that has done all that takes long to start; it is killed at the end of the context."""

    def __init__(self, program: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def wait_until_ready(self) -> None:
        """Wait until it is about to collect, or is busy."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def start(self) -> None:
        """Let it collect."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def result(self) -> dict[str, Any]:
        """Wait for its end and read what it has collected."""
        text, _ = self._process.communicate(timeout=240)
        assert self._process.returncode == 0
        found: dict[str, Any] = json.loads(text)
        return found

    def kill(self) -> None:
        """Kill it at once, if it still runs."""
        self._process.kill()
        self._process.communicate()


def started_together(path: Path, teacher: str, problems: int, draws: int) -> tuple[OtherProcess, OtherProcess]:
    """Start two processes that collect the same draws into a store."""
    both = tuple(OtherProcess(COLLECT, path, teacher, problems, draws) for _ in range(2))
    for process in both:
        process.wait_until_ready()
    for process in both:
        process.start()
    return both[0], both[1]
