"""A quick check whether the Hub is reachable, because its own client retries for minutes."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

from nsad_cli.errors import NsadError

HUB_TIMEOUT_SECONDS = 5.0
"""Seconds to wait for a connection."""


def hub_reachable(timeout: float = HUB_TIMEOUT_SECONDS) -> bool:
    """Return whether a connection to the Hub can be opened, through a proxy if one is set."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    target = urlsplit(proxy or endpoint)
    if target.hostname is None:
        return False
    port = target.port or (443 if target.scheme == "https" else 80)
    reached: list[bool] = []

    def connect() -> None:
        with contextlib.suppress(OSError), socket.create_connection((target.hostname, port), timeout=timeout):
            reached.append(True)

    # An unresponsive name server, or a host with many addresses, can exceed the timeout: the join enforces it.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(timeout)
    return bool(reached)


def hub_cache() -> Path:
    """Return the cache folder of the Hub's client."""
    if os.environ.get("HF_HUB_CACHE"):
        return Path(os.environ["HF_HUB_CACHE"])
    return Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface") / "hub"


def cached_commit(spec: str) -> str | None:
    """Return the commit of a cached model, which identifies its content.

    Args:
        spec: A Hub id with an optional @REVISION.
    """
    name, _, revision = spec.partition("@")
    folder = hub_cache() / f"models--{name.replace('/', '--')}"
    try:
        return (folder / "refs" / (revision or "main")).read_text(encoding="utf-8").strip()
    except OSError:
        return revision if revision and (folder / "snapshots" / revision).is_dir() else None


def require_hub(what: str, fix: str, *, repo: str, kind: str = "models") -> None:
    """Check that a repository is cached or the Hub is reachable.

    Raises:
        NsadError: Neither is the case; raised within seconds.
    """
    if (hub_cache() / f"{kind}--{repo.replace('/', '--')}" / "snapshots").is_dir() or hub_reachable():
        return
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    raise NsadError(f"{what} is not cached and the Hub cannot be reached", f"no connection to {endpoint}", fix)
