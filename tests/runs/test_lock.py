"""The lock of a run names the host and the process that hold it."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest

from nsad_cli.errors import NsadError
from nsad_cli.runs.lock import hold_lock, is_locked

if TYPE_CHECKING:
    from pathlib import Path


def test_an_error_names_host_and_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold_lock(path, "demo"):
        assert path.read_text() == f"{os.getpid()} on host {socket.gethostname()}"
        assert is_locked(path)
        with pytest.raises(NsadError) as error, hold_lock(path, "demo"):
            pass
    assert error.value.why == f"process {os.getpid()} on host {socket.gethostname()} is writing to it"
    assert not is_locked(path)
    path.write_text("12 on host a-host-with-a-longer-name-than-this-one")
    with hold_lock(path, "demo"):
        assert path.read_text() == f"{os.getpid()} on host {socket.gethostname()}"


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(NsadError, match="cannot lock run `demo`") as error, hold_lock(tmp_path / "lock", "demo"):
        pass
    assert str(tmp_path / "lock") in error.value.why
    assert "flock" in error.value.fix
