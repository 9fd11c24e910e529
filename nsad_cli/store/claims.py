"""Who is at work on a claimed draw: a process, and whether it still lives, or a batch, which outlives its process."""

from __future__ import annotations

import os
import socket
import time
from functools import cache

import psutil

CLAIM_LEASE_SECONDS = 3600.0
"""Seconds after which a claim from another machine, whose processes cannot be seen from here, has lapsed."""

BATCH = "batch:"
"""Before a batch's id in the owner of a claim."""


@cache
def this_process() -> str:
    """This process's name as an owner: host, process number, and when it started."""
    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def is_alive(owner: str, since: float) -> bool:
    """Whether the process or batch behind a claim made at `since` may still be at work on it."""
    if owner.startswith(BATCH):
        return True  # until somebody closes it
    host, number, started = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return time.time() - since < CLAIM_LEASE_SECONDS
    try:
        return abs(psutil.Process(int(number)).create_time() - float(started)) < 1
    except psutil.Error:
        return False
