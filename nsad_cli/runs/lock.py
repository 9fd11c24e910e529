"""The lock of a run's folder; the operating system releases it when the process that holds it exits."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from typing import TYPE_CHECKING, TextIO

from nsad_cli.errors import NsadError
from nsad_cli.utils.distributed import is_main_process
from nsad_cli.utils.files import open_no_link, write_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RETRY_SECONDS = 0.02


@contextlib.contextmanager
def hold_lock(path: Path, run_name: str) -> Iterator[None]:
    """Hold the lock file exclusively; in distributed training only the main process takes it.

    Raises:
        NsadError: Another process holds the lock, or the file system has no locks.
    """
    if not is_main_process():
        yield
        return
    try:
        opened = open(path, "a+", opener=open_no_link)  # noqa: SIM115  # closed below
    except OSError as error:
        raise write_error(path, error) from error
    with opened as file:
        try:
            # Retry, because `is_locked` takes the lock for a moment.
            locked = _try_lock(file, fcntl.LOCK_EX, attempts=5)
        except OSError as error:
            raise NsadError(
                f"cannot lock run `{run_name}`",
                f"{path}: {error.strerror}; its file system may be mounted without locks",
                "mount it with locks (Lustre: -o flock), or set NSAD_HOME to a folder on a local disk",
            ) from error
        if not locked:
            raise NsadError(
                f"run `{run_name}` is in use",
                f"{_holder(path)} is writing to it",
                "wait for it to finish, or use another run with --run NAME",
            )
        file.truncate(0)
        file.write(f"{os.getpid()} on host {socket.gethostname()}")
        file.flush()
        yield


def _holder(path: Path) -> str:
    """Read which process holds the lock; opened again, since a network file system then reads what others wrote."""
    with contextlib.suppress(OSError):
        if holder := path.read_text(errors="replace").strip():
            return f"process {holder}"
    return "another process"


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock file exclusively."""
    if not path.exists():
        return False
    with path.open() as file:
        return not _try_lock(file, fcntl.LOCK_SH, attempts=1)


def _try_lock(file: TextIO, kind: int, attempts: int) -> bool:
    for remaining in reversed(range(attempts)):
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if remaining:
                time.sleep(RETRY_SECONDS)
    return False
