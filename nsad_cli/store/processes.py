"""Identities of processes that no change of the clock affects: whether the process that wrote a name still runs."""

from __future__ import annotations

import contextlib
import os
import socket
from functools import cache
from pathlib import Path

import psutil

ENDED_STATES = ("Z", "X", "x")
"""States in /proc/PID/stat of a process that has ended and waits for its parent to read its exit status."""


def process_name() -> str:
    """Name this process: host, process id, and its start.

    On Linux the start is counted in clock ticks since boot, with the boot's id and the namespace of process ids, so
    that neither a step of the clock nor a restart of the machine makes two processes look alike or one look like two.
    Elsewhere it is the start time in whole seconds.
    """
    return _name_of(os.getpid())  # by its id, since a forked process inherits the cache


def process_runs(name: str) -> bool | None:
    """Whether the process that `process_name` named still runs; None if this cannot be checked from here.

    It cannot be checked for a process of another machine, or of another container on this one.
    """
    host, number, start = name.rsplit(":", 2)
    boot, namespace, ticks = _parts(start)
    if boot is None:  # another system than Linux, or a version that named processes by the time of their start
        return _started_at(int(number), float(start)) if host == socket.gethostname() else None
    if boot != _boot_id():
        return False if host == socket.gethostname() else None
    if namespace != _namespace():
        return None
    return _start_ticks(int(number)) == ticks


def of_this_kernel(name: str) -> bool:
    """Whether the process that `process_name` named belongs to the running kernel, in this container or another one."""
    host, _, start = name.rsplit(":", 2)
    boot = _parts(start)[0]
    return host == socket.gethostname() if boot is None else boot == _boot_id()


def describe_process(name: str) -> str:
    """Describe the process that `process_name` named, for messages: its id and host."""
    host, number, _ = name.rsplit(":", 2)
    return f"process {number} on host {host}"


@cache
def _name_of(pid: int) -> str:
    ticks, boot = _start_ticks(pid), _boot_id()
    start = (
        f"{psutil.Process(pid).create_time():.0f}" if ticks is None or not boot else f"{boot}/{_namespace()}/{ticks}"
    )
    return f"{socket.gethostname()}:{pid}:{start}"


def _parts(start: str) -> tuple[str | None, str, int]:
    """Split a start on Linux into the boot's id, the namespace and the ticks; no id if it has another form."""
    parts = start.split("/")
    return (parts[0], parts[1], int(parts[2])) if len(parts) == 3 else (None, "", 0)


@cache
def _boot_id() -> str:
    """Read the id of this boot of the machine; empty if the system is not Linux."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


@cache
def _namespace() -> str:
    """Read the number of the namespace of process ids that this process is in; `-` if it is unknown."""
    with contextlib.suppress(OSError):
        return "".join(filter(str.isdigit, os.readlink("/proc/self/ns/pid")))
    return "-"


def _start_ticks(pid: int) -> int | None:
    """Read when a process started, in clock ticks since boot; None if it has ended, or the system is not Linux."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()  # from field 3 on: the name in field 2 may contain spaces and brackets
    return None if fields[0].decode() in ENDED_STATES else int(fields[19])


def _started_at(pid: int, seconds: float) -> bool:
    try:
        return abs(psutil.Process(pid).create_time() - seconds) < 1
    except psutil.Error:
        return False
