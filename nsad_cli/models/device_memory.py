"""Exhausted memory of a device as an error that names the setting to lower."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

from nsad_cli.errors import NsadError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

CPU_MESSAGE = "DefaultCPUAllocator: "
"""The beginning of torch's message for the CPU, which has no exception of its own."""


FREE_SHARE = 0.9
"""The part of a GPU's free memory that another process may take: vLLM's own default of the whole."""


def free_share() -> float | None:
    """Return the share of the GPU's memory that another process may take beside this one.

    Returns:
        The share, after this process has returned what it does not use; None if this process uses no GPU.
    """
    if not torch.cuda.is_initialized():
        return None
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    return round(FREE_SHARE * free / total, 3)


@contextlib.contextmanager
def memory_errors(what: str, setting: str, value: int) -> Iterator[None]:
    """Convert torch's error for exhausted memory.

    Args:
        what: What was running, for the error.
        setting: The recipe's setting that bounds the memory.
        value: Its present value.

    Raises:
        NsadError: The device's memory does not suffice.
    """
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        if not isinstance(error, torch.OutOfMemoryError) and CPU_MESSAGE not in str(error):
            raise
        fix = f"set {setting} to {value // 2} (it is {value}) with --set; finished stages and chains are kept"
        if value < 2:
            fix = "use a smaller student, or student.load_in_4bit=true on a GPU"
        raise NsadError(f"{what}: the memory of the device is exhausted", first_line(error), fix) from error
