"""Owners of claims are processes that are identified without the clock: a step of it makes no living one look dead."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from nsad_cli.store import processes
from nsad_cli.store.claims import is_alive, this_process
from nsad_cli.store.heartbeat import LEASE_SECONDS
from nsad_cli.store.rationales import Store
from tests.helpers.questions import numbered_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER = """
import sys
from nsad_cli.store.claims import this_process
print(this_process(), flush=True)
sys.stdin.read()
"""
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="not Linux")


@pytest.fixture
def other() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process, which waits, and its name."""
    command = [sys.executable, "-c", OWNER]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process, process.stdout.readline().strip()
    process.kill()
    process.communicate()


@needs_proc
@pytest.mark.parametrize("step", [-86400.0, -2.0, 2.0, 86400.0])
def test_a_step_of_the_clock_pays_for_no_draw_twice(
    step: float, other: tuple[subprocess.Popen[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a step the start times that psutil computes from the clock are shifted as the clock is."""
    (problem,) = numbered_problems(1)
    wanted = [(problem.id, (0, 1))]
    with Store(tmp_path / "store.sqlite") as store:
        store.add_problems([problem])
        assert store.claims.acquire("t", "k", wanted, other[1], is_alive) == [(0, 1)]
        clock, started = time.time, psutil.Process.create_time
        monkeypatch.setattr(time, "time", lambda: clock() + step)
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: started(self) + step)
        assert store.claims.acquire("t", "k", wanted, this_process(), is_alive) == [()]
        assert is_alive(this_process(), clock())


@needs_proc
def test_a_process_that_has_ended_is_dead_before_its_parent_notices(other: tuple[subprocess.Popen[str], str]) -> None:
    process, name = other
    assert is_alive(name, 0)
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert "Z" in Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2]
    assert not is_alive(name, time.time())


@needs_proc
def test_a_later_process_with_the_same_id_is_another_one(other: tuple[subprocess.Popen[str], str]) -> None:
    name, _, ticks = other[1].rpartition("/")
    assert not is_alive(f"{name}/{int(ticks) - 1}", time.time())


@needs_proc
def test_what_cannot_be_checked_from_here_lapses_after_the_lease(other: tuple[subprocess.Popen[str], str]) -> None:
    host, pid, start = other[1].rsplit(":", 2)
    boot, namespace, ticks = start.split("/")
    elsewhere = (f"other-host:{pid}:another-boot/{namespace}/{ticks}", f"{host}:{pid}:{boot}/1/{ticks}")
    for name in elsewhere:
        assert is_alive(name, time.time())
        assert not is_alive(name, time.time() - LEASE_SECONDS - 1)
    assert not is_alive(f"{host}:{pid}:before-the-restart/{namespace}/{ticks}", time.time())
    assert is_alive(f"renamed-host:{pid}:{start}", 0), "the same machine by another name"


def test_claims_of_an_earlier_version_are_read(other: tuple[subprocess.Popen[str], str]) -> None:
    started = psutil.Process(other[0].pid).create_time()
    assert is_alive(f"{socket.gethostname()}:{other[0].pid}:{started:.2f}", time.time())
    assert not is_alive(f"{socket.gethostname()}:{other[0].pid}:{started - 5:.2f}", time.time())


def test_without_proc_a_process_is_named_by_whole_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    processes._name_of.cache_clear()
    monkeypatch.setattr(processes, "_boot_id", lambda: "")
    name = processes.process_name()
    processes._name_of.cache_clear()
    assert name.rpartition(":")[2].isdigit()
    assert is_alive(name, 0)


@needs_proc
def test_a_forked_process_has_a_name_of_its_own() -> None:
    mine = this_process()
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(writing, this_process().encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reading, 1000).decode() != mine
