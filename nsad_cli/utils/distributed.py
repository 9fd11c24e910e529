"""Several processes at one run, as accelerate's launcher starts them: the first one leads, the others keep in step.

The leader alone writes to the run's folder and speaks; collecting, grading, sampling and measuring are its work. All
train. No torch is imported before there are several processes to join.
"""

from __future__ import annotations

import os
from datetime import timedelta

BARRIER_TIMEOUT = timedelta(days=2)
"""How long the others wait for the leader's own work."""
SHARDED = os.environ.pop("ACCELERATE_USE_FSDP", "false").lower() == "true"
"""Whether the launcher asks for a sharded base (FSDP); no longer in the environment, for training.sharding does it."""


def world_size() -> int:
    """How many processes work on the run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this process is the first."""
    return int(os.environ.get("RANK", "0")) == 0


def barrier() -> None:
    """Go on when every process has come here."""
    if world_size() > 1:
        from accelerate import PartialState

        _join()
        PartialState().wait_for_everyone()


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process."""
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
