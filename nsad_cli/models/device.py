"""The device that models run on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError, first_line
from nsad_cli.utils.devices import existing, select_gpu
from nsad_cli.utils.distributed import world_size

if TYPE_CHECKING:
    import torch


def pick_device(device: str = "auto") -> torch.device:
    """Choose the device to run on; cuda:N is made the only visible GPU, see `select_gpu`.

    Args:
        device: A torch device, or `auto` for CUDA, then Apple's MPS, then the CPU.

    Raises:
        NsadError: torch does not know the device, or it is not available.
    """
    select_gpu(device)
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        if chosen.type == "cuda" and world_size() > 1:  # each process of a launcher has a device of its own
            chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        elif chosen.type == "cuda":  # the only visible one
            chosen = torch.device("cuda")
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise NsadError(
            f"device `{device}` is not usable",
            f"{first_line(error)}; this machine has {existing()}, and torch is {torch.__version__}",
            "use --device cpu, or install a torch build for it (docs/installation.md)",
        ) from error
    return chosen
