"""How loaded this machine is: CPU, memory, and GPUs where there are any."""

from __future__ import annotations

import sys
from typing import Any

import psutil

psutil.cpu_percent()  # The first call has nothing to compare with: later ones give the load since the one before.


def machine_load() -> dict[str, Any]:
    """CPU load (percent of all cores since the last call), memory in GiB, and per GPU memory and load.

    GPUs are read through torch, only where the process has loaded it and CUDA is in use.
    """
    memory = psutil.virtual_memory()
    load: dict[str, Any] = {
        "cpu_percent": psutil.cpu_percent(),
        "memory_gib": round((memory.total - memory.available) / 2**30, 2),
        "process_gib": round(psutil.Process().memory_info().rss / 2**30, 2),
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        load["gpus"] = [_gpu(torch, index) for index in range(torch.cuda.device_count())]
    return load


def _gpu(torch: Any, index: int) -> dict[str, Any]:
    free, total = torch.cuda.mem_get_info(index)
    gpu: dict[str, Any] = {"memory_gib": round((total - free) / 2**30, 2), "total_gib": round(total / 2**30, 2)}
    try:
        gpu["percent"] = torch.cuda.utilization(index)
    except Exception:  # torch reads it through nvidia-ml-py: not always installed, with errors of its own on MIG
        gpu["percent"] = None
    return gpu
