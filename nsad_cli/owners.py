"""Who is at work on a claimed draw: a process, and whether it still lives."""

from __future__ import annotations

import os
import socket
import time
from functools import cache

import psutil

LEASE = 3600.0
"""Seconds after which a claim from another machine, whose processes cannot be seen from here, has lapsed."""


@cache
def me() -> str:
    """This process's name as an owner: host, process number, and when it started."""
    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def lives(owner: str, since: float) -> bool:
    """Whether the process behind a claim made at `since` may still be at work on it."""
    host, number, started = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return time.time() - since < LEASE
    try:
        return abs(psutil.Process(int(number)).create_time() - float(started)) < 1
    except psutil.Error:
        return False
