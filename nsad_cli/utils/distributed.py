"""Distributed runs, as started by accelerate's launcher: the main process and its barriers.

Only the main process writes to the run's folder and reports; it also collects, grades, samples and evaluates. All
processes train. Torch is not imported in a single-process run.
"""

from __future__ import annotations

import functools
import os
import socket
from datetime import timedelta
from typing import Any

BARRIER_TIMEOUT = timedelta(days=2)
"""Time limit for the other processes to wait while the main process works."""
SHARDED = os.environ.pop("ACCELERATE_USE_FSDP", "false").lower() == "true"
"""Whether the launcher requests FSDP; removed from the environment, since training.sharding shards the base itself."""


def world_size() -> int:
    """Return the number of processes of the run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Return whether this process is the main one (rank 0)."""
    return int(os.environ.get("RANK", "0")) == 0


def process_name() -> str:
    """Return this process's rank and host, for messages."""
    return f"rank {os.environ.get('RANK', '0')} on {socket.gethostname()}"


def barrier() -> None:
    """Block until all processes have reached this point; those that wait sleep, for hours if need be."""
    if world_size() > 1:
        import torch.distributed

        torch.distributed.barrier(group=_host_group())


def any_process(flag: bool) -> bool:
    """Return whether the flag is set in any process."""
    if world_size() == 1:
        return flag
    import torch

    flags = torch.tensor(float(flag))
    torch.distributed.all_reduce(flags, group=_host_group())
    return flags.item() > 0


@functools.cache
def _host_group() -> Any:
    """Make the group of all processes for messages between hosts: processes that wait for NCCL keep a core busy."""
    import torch.distributed
    from accelerate import PartialState

    PartialState(cpu=os.environ.get("NSAD_DEVICE") == "cpu", timeout=BARRIER_TIMEOUT)
    return torch.distributed.new_group(backend="gloo", timeout=BARRIER_TIMEOUT)
