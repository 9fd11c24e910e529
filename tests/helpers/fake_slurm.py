"""A Slurm of one node for tests: sbatch, srun, scontrol, sacct and scancel as commands on the PATH.

It has what a study uses: batch scripts with `#SBATCH` lines, dependencies of the kind afterany, requeueing, states, and
signals to the process of a job's step. Its state is a folder: ID.json, ID.pid, ID.requeue, ID.cancel, ID.sh.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

COMMANDS = ("sbatch", "srun", "scontrol", "sacct", "scancel")
ENDED = ("COMPLETED", "FAILED", "CANCELLED")


def install(folder: Path) -> dict[str, str]:
    """Write the commands into a folder; return the variables with which they are found."""
    commands = folder / "bin"
    commands.mkdir(parents=True)
    for name in COMMANDS:
        path = commands / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n')
        path.chmod(0o755)
    (folder / "state").mkdir()
    return {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "FAKE_SLURM": str(folder / "state")}


@contextlib.contextmanager
def installed(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Put the commands on the PATH; at the end, end all jobs."""
    for name, value in install(folder).items():
        patch.setenv(name, value)
    yield folder
    end_all(folder)


def script(folder: Path, job: str) -> str:
    """The batch script of a job."""
    return (folder / "state" / f"{job}.sh").read_text()


def submissions(folder: Path) -> list[str]:
    """The ids of all jobs in the order of submission."""
    return sorted((path.stem for path in (folder / "state").glob("*.json")), key=int)


def send(folder: Path, job: str, number: int) -> None:
    """Send a signal to the process of a running job's step, as Slurm does at a time limit or a preemption."""
    os.kill(int((folder / "state" / f"{job}.pid").read_text()), number)


def end_all(folder: Path) -> None:
    """End the jobs that are left, at the end of a test."""
    for job in submissions(folder):
        (folder / "state" / f"{job}.cancel").touch()
        with contextlib.suppress(OSError, ValueError):
            if json.loads((folder / "state" / f"{job}.json").read_text())["state"] not in ENDED:
                send(folder, job, signal.SIGKILL)


def _state() -> Path:
    return Path(os.environ["FAKE_SLURM"])


def _read(job: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((_state() / f"{job}.json").read_text())
    return value


def _write(job: str, **values: Any) -> None:
    path = _state() / f"{job}.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps({**known, **values}))
    temporary.replace(path)


def sbatch(file: str) -> None:
    """Take a script as a new job."""
    job = str(1 + len(list(_state().glob("*.json"))))
    shutil.copy(file, _state() / f"{job}.sh")
    text = Path(file).read_text()
    after = re.search(r"^#SBATCH --dependency='?afterany:([\d:]+)", text, re.MULTILINE)
    output = re.search(r"^#SBATCH --error=(.*)$", text, re.MULTILINE)
    _write(job, state="PENDING", after=after[1].split(":") if after else [], output=output[1] if output else os.devnull)
    command = [sys.executable, __file__, "run", job]
    subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print(f"Submitted batch job {job}")


def run(job: str) -> None:
    """Run a job when those that it waits for have ended, and again if it is requeued."""
    while any(_read(other)["state"] not in ENDED for other in _read(job)["after"]):
        time.sleep(0.1)
    variables = {"SLURM_JOB_ID": job, "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_PROCID": "0"}
    variables |= {"SLURM_NODEID": "0", "SLURM_LOCALID": "0", "SLURM_JOB_NODELIST": socket.gethostname()}
    while not (_state() / f"{job}.cancel").exists():
        _write(job, state="RUNNING")
        with open(_read(job)["output"].replace("%j", job), "a") as output:
            command = ["bash", str(_state() / f"{job}.sh")]
            done = subprocess.run(command, check=False, env=os.environ | variables, stdout=output, stderr=output)
        requeued = _state() / f"{job}.requeue"
        if not requeued.exists():
            _write(job, state="COMPLETED" if done.returncode == 0 else "FAILED")
            break
        requeued.unlink()
        _write(job, state="PENDING")
        time.sleep(0.5)
    if (_state() / f"{job}.cancel").exists():
        _write(job, state="CANCELLED")


def srun(*arguments: str) -> None:
    """Become the command of a step, with its output in files."""
    rest, job = list(arguments), os.environ["SLURM_JOB_ID"]
    while rest[0].startswith("--"):
        option = rest.pop(0)
        if option in ("--output", "--error"):
            path = rest.pop(0).replace("%j", job).replace("%t", "0")
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1 if option == "--output" else 2)
    (_state() / f"{job}.pid").write_text(str(os.getpid()))
    os.execvp(rest[0], rest)


def scontrol(action: str, job: str) -> None:
    """Requeue a job when its script has ended."""
    assert action == "requeue"
    (_state() / f"{job}.requeue").touch()


def sacct(*arguments: str) -> None:
    """Print the states of jobs."""
    print("JobID|State|NodeList")
    for job in arguments:
        if job.isdecimal() and (_state() / f"{job}.json").exists():
            print(f"{job}|{_read(job)['state']}|{socket.gethostname()}")


def scancel(job: str) -> None:
    """End a job: SIGTERM, and soon after SIGKILL."""
    (_state() / f"{job}.cancel").touch()
    if _read(job)["state"] == "RUNNING":
        pid = int((_state() / f"{job}.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        time.sleep(3)
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
