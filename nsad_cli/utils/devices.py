"""Selection of the GPU that this process uses; torch is not imported.

transformers' Trainer, accelerate and vLLM each choose a device of their own, and the Trainer spreads a model over all
visible GPUs. So the only GPU that a process is to use is made the only visible one, before CUDA is initialised. Tested
with a mock of NVML only, not on several GPUs.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError
from nsad_cli.utils.distributed import world_size
from nsad_cli.utils.system_load import devices

if TYPE_CHECKING:
    from collections.abc import Iterator

VISIBLE = "CUDA_VISIBLE_DEVICES"
_selected: list[int] = []
"""The index of the selected GPU among those that were visible before; empty until one is selected."""
_visible_before: list[str | None] = []
"""The variable before a GPU was selected; empty until one is."""


def select_gpu(device: str) -> None:
    """Make one GPU the only visible one; without effect on other devices, and in a process of a launcher.

    To be called before the libraries of models are imported, because some of them initialise CUDA.

    Args:
        device: auto, cpu, mps, cuda or cuda:N. auto and cuda select the first GPU.

    Raises:
        NsadError: There is no such GPU, or this process already uses another one.
    """
    kind, _, number = device.partition(":")
    if world_size() > 1 or kind not in ("auto", "cuda"):
        return
    index = int(number or 0)
    if _selected:
        if number and index != _selected[0]:
            raise _in_use(index, f"this process uses cuda:{_selected[0]}")
        return
    found = devices()
    if found and index >= len(found):
        raise NsadError(f"device `{device}` does not exist", f"this machine has {existing()}", "use one of these")
    if not number and len(found) < 2:
        return
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        if index:
            raise _in_use(index, "CUDA is already initialised in this process")
        return
    selected = str(index)
    if VISIBLE in os.environ:  # a GPU that is hidden, because it may be another job's, stays hidden
        names = [name.strip() for name in os.environ[VISIBLE].split(",")]
        selected = names[index] if index < len(names) else ""
        if not selected or selected.startswith("-"):
            if not number:
                return
            raise NsadError(f"device `{device}` does not exist", f"{VISIBLE} is `{os.environ[VISIBLE]}`", "change it")
    _visible_before.append(os.environ.get(VISIBLE))
    os.environ[VISIBLE] = selected
    _selected.append(index)


@contextlib.contextmanager
def without_selection() -> Iterator[None]:
    """Make all GPUs visible again to what the body starts; this process keeps the one that it has selected."""
    if not _visible_before:
        yield
        return
    selected, before = os.environ[VISIBLE], _visible_before[0]
    try:
        if before is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = before
        yield
    finally:
        os.environ[VISIBLE] = selected


def existing() -> str:
    """Name the devices of this machine: `cpu, cuda:0 (NVIDIA H200)`."""
    mps = ["mps"] if sys.platform == "darwin" else []
    gpus = [f"cuda:{index}" + (f" ({name})" if name else "") for index, (_, name) in enumerate(devices())]
    return ", ".join(["cpu", *mps, *gpus])


def _in_use(index: int, why: str) -> NsadError:
    return NsadError(
        f"device `cuda:{index}` cannot be selected",
        why,
        f"start a process of its own, or set {VISIBLE}={index} and use the device cuda",
    )
