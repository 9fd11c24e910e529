"""Measured speeds, remembered per machine, model and settings, so that plans measure only once."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
import time
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError
from nsad_cli.models.smollm2 import cache_folder
from nsad_cli.utils.files import write_atomic
from nsad_cli.utils.hashing import content_key
from nsad_cli.utils.processor import cpu_field
from nsad_cli.utils.version import __version__

if TYPE_CHECKING:
    from nsad_cli.pipeline.throughput import Speeds

FILE = "speeds.json"
MAX_AGE_DAYS = 30
"""Older speeds are measured again."""


def speeds_key(device: Any, *settings: Any) -> str:
    """Hash what the speeds depend on: the machine, the versions, and the settings.

    Args:
        device: The torch device.
        settings: The model, its dtype, its adapters and the shapes of steps.
    """
    import torch

    cpu = cpu_field("model name") or platform.machine()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{cpu}, {torch.get_num_threads()} threads"
    return content_key(name, torch.__version__, __version__, *settings)


def known_speeds(key: str) -> tuple[Speeds, str] | None:
    """Return speeds with the date of their measurement; None if they are not known, too old, or the file is damaged."""
    from nsad_cli.pipeline.throughput import Speeds

    try:
        entry = _read()[key]
        age = time.time() - time.mktime(time.strptime(entry["date"], "%Y-%m-%d"))
        found = Speeds(**entry["speeds"]), str(entry["date"])
    except (KeyError, TypeError, ValueError):
        return None
    return found if -86400 <= age <= MAX_AGE_DAYS * 86400 else None


def remember_speeds(key: str, speeds: Speeds) -> None:
    """Store speeds with today's date; nothing happens if the cache cannot be written."""
    entry = {"date": time.strftime("%Y-%m-%d"), "speeds": dataclasses.asdict(speeds)}
    with contextlib.suppress(NsadError):
        write_atomic(cache_folder() / FILE, json.dumps({**_read(), key: entry}, indent=1))


def _read() -> dict[str, Any]:
    try:
        content = json.loads((cache_folder() / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
