"""How loaded this machine is: CPU, memory, and NVIDIA GPUs where there are any."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

psutil.cpu_percent()  # The first call has nothing to compare with: later ones give the load since the one before.


def machine_load() -> dict[str, Any]:
    """CPU load (percent of all cores since the last call), memory in GiB, and what each GPU is at.

    GPUs are those of `devices`, whether this process uses them or not; the key is left out where there are none. A
    value that a device does not tell is None: its load where it is partitioned (MIG), its memory where it has the
    machine's, its power where no sensor is. Untried on real GPUs: the tests drive a double of NVML.
    """
    memory = psutil.virtual_memory()
    load: dict[str, Any] = {
        "cpu_percent": psutil.cpu_percent(),
        "memory_gib": _gib(memory.total - memory.available),
        "memory_total_gib": _gib(memory.total),
        "process_gib": _gib(psutil.Process().memory_info().rss),
    }
    gpus = [_gpu(*device) for device in devices()]
    return load | ({"gpus": gpus} if gpus else {})


@cache
def devices() -> tuple[tuple[Any, str | None], ...]:
    """Handle and name of each GPU that NVML finds and CUDA_VISIBLE_DEVICES leaves in, in its order; looked for once.

    Numbers there are taken as NVML's (by PCI bus): CUDA may count unlike cards by speed, unless CUDA_DEVICE_ORDER says
    PCI_BUS_ID. As in CUDA, nothing counts from the first entry that names no device.
    """
    import pynvml

    try:
        pynvml.nvmlInit()  # without a driver it fails at once
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError:
        return ()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(index) for index in range(count)] if visible is None else visible.split(",")
    return tuple((handle, _told(pynvml.nvmlDeviceGetName, handle)) for handle in _handles(names, count))


def _handles(names: list[str], count: int) -> Iterator[Any]:
    """The devices of these names, numbers or UUIDs, up to the first that names none."""
    import pynvml

    for name in map(str.strip, names):
        try:
            if not name.isdecimal():
                yield pynvml.nvmlDeviceGetHandleByUUID(name)
            elif int(name) < count:
                yield pynvml.nvmlDeviceGetHandleByIndex(int(name))
            else:
                return
        except pynvml.NVMLError:
            return


def _gpu(handle: Any, name: str | None) -> dict[str, Any]:
    import pynvml

    memory = _told(pynvml.nvmlDeviceGetMemoryInfo, handle)
    load = _told(pynvml.nvmlDeviceGetUtilizationRates, handle)
    power = _told(pynvml.nvmlDeviceGetPowerUsage, handle)
    return {
        "memory_gib": None if memory is None else _gib(memory.used),
        "total_gib": None if memory is None else _gib(memory.total),
        "percent": None if load is None else load.gpu,
        "power_watts": None if power is None else round(power / 1000, 1),
        "celsius": _told(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
        "name": name,
    }


def _told(ask: Callable[..., Any], *arguments: Any) -> Any:
    """What NVML says; None where a device does not tell."""
    import pynvml

    try:
        return ask(*arguments)
    except pynvml.NVMLError:
        return None


def _gib(size: float) -> float:
    return round(size / 2**30, 2)
