"""Distributed runs, as started by accelerate's launcher: the main process and its barriers.

Only the main process writes to the run's folder and reports; it also collects, grades, samples and evaluates. All
processes train. Torch is not imported in a single-process run.
"""

from __future__ import annotations

import os
from datetime import timedelta

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


def barrier() -> None:
    """Block until all processes have reached this point."""
    if world_size() > 1:
        from accelerate import PartialState

        _join()
        PartialState().wait_for_everyone()


def any_process(flag: bool) -> bool:
    """Return whether the flag is set in any process."""
    if world_size() == 1:
        return flag
    import torch
    from accelerate import PartialState
    from accelerate.utils import reduce

    _join()
    return bool(reduce(torch.tensor(float(flag), device=PartialState().device), "sum").item() > 0)


def _join() -> None:
    from accelerate import PartialState

    PartialState(cpu=os.environ.get("NSAD_DEVICE") == "cpu", timeout=BARRIER_TIMEOUT)
