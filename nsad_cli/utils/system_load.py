"""System load: CPU, memory, and NVIDIA GPUs, if any."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

psutil.cpu_percent()  # The first call only sets the reference; later calls return the load since the previous one.


def machine_load() -> dict[str, Any]:
    """Return CPU load (percent of all cores since the last call), memory in GiB, and the load of each GPU.

    GPUs are those of `devices`, whether this process uses them or not; the key is omitted if there are none. A
    value that a device does not report is None: the load of a partitioned GPU (MIG), the memory of a GPU that shares
    the system's, the power of a GPU without a sensor. Tested with a mock of NVML only, not on real GPUs.
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
    """Return handle and name of each GPU that NVML finds and CUDA_VISIBLE_DEVICES selects, in its order; cached.

    Indices in CUDA_VISIBLE_DEVICES are read as NVML's (PCI bus order); CUDA may order different GPUs by speed unless
    CUDA_DEVICE_ORDER is PCI_BUS_ID. As in CUDA, entries from the first invalid one on are ignored.
    """
    try:
        import pynvml
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()  # fails immediately without a driver
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError:
        return ()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(index) for index in range(count)] if visible is None else visible.split(",")
    return tuple((handle, _query(pynvml.nvmlDeviceGetName, handle)) for handle in _handles(names, count))


def _handles(names: list[str], count: int) -> Iterator[Any]:
    """Yield the devices with these indices or UUIDs, up to the first invalid one."""
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

    memory = _query(pynvml.nvmlDeviceGetMemoryInfo, handle)
    load = _query(pynvml.nvmlDeviceGetUtilizationRates, handle)
    power = _query(pynvml.nvmlDeviceGetPowerUsage, handle)
    return {
        "memory_gib": None if memory is None else _gib(memory.used),
        "total_gib": None if memory is None else _gib(memory.total),
        "percent": None if load is None else load.gpu,
        "power_watts": None if power is None else round(power / 1000, 1),
        "celsius": _query(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
        "name": name,
    }


def _query(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of an NVML query; None if the device does not support it."""
    import pynvml

    try:
        return function(*arguments)
    except pynvml.NVMLError:
        return None


def _gib(size: float) -> float:
    return round(size / 2**30, 2)
