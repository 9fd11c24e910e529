"""How loaded the machine is: real psutil, and a double of NVML, whose errors are the real ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pynvml
import pytest

from nsad_cli.utils import system_load as machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEYS = {"memory_gib", "total_gib", "percent", "power_watts", "celsius", "name"}
READINGS: dict[str, Any] = {
    "nvmlDeviceGetName": "NVIDIA H100",
    "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=3 * 2**30, total=80 * 2**30, free=77 * 2**30),
    "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=97, memory=40),
    "nvmlDeviceGetPowerUsage": 650_400,
    "nvmlDeviceGetTemperature": 71,
}


class Nvml:
    """So many GPUs; `refuse` makes a function fail as NVML would, and `calls` counts what was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        self._patch, self.calls = monkeypatch, dict[str, int]()
        self.uuids = [f"GPU-{index}" for index in range(count)]
        self._give("nvmlInit", lambda: None)
        self._give("nvmlDeviceGetCount", lambda: count)
        self._give("nvmlDeviceGetHandleByIndex", lambda index: f"handle-{index}")
        self._give("nvmlDeviceGetHandleByUUID", self._by_uuid)
        for name, value in READINGS.items():
            self._give(name, lambda *_, value=value: value)

    def _give(self, name: str, answer: Callable[..., Any]) -> None:
        def counted(*arguments: Any) -> Any:
            self.calls[name] = self.calls.get(name, 0) + 1
            return answer(*arguments)

        self._patch.setattr(pynvml, name, counted)

    def _by_uuid(self, uuid: str) -> str:
        if uuid not in self.uuids:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return f"handle-{self.uuids.index(uuid)}"

    def refuse(self, name: str, code: int) -> None:
        def refused(*_: Any) -> Any:
            raise pynvml.NVMLError(code)

        self._give(name, refused)


@pytest.fixture(autouse=True)
def _looked_for_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    machine.devices.cache_clear()
    yield
    machine.devices.cache_clear()


def test_cpu_and_memory_are_this_machines() -> None:
    load = machine.machine_load()
    assert 0 <= load["cpu_percent"] <= 100
    assert load["memory_total_gib"] == round(psutil.virtual_memory().total / 2**30, 2)
    assert 0 < load["process_gib"] < load["memory_total_gib"]
    assert 0 < load["memory_gib"] < load["memory_total_gib"]


def test_without_a_driver_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml(monkeypatch, 1)
    nvml.refuse("nvmlInit", pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    assert "gpus" not in machine.machine_load()
    machine.machine_load()
    assert nvml.calls == {"nvmlInit": 1}, "looked for once"


def test_the_real_library_never_raises() -> None:
    for gpu in machine.machine_load().get("gpus", ()):  # none where the tests run on a machine without
        assert set(gpu) == KEYS


def test_each_gpu_tells_memory_load_power_and_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml(monkeypatch, 2)
    gpu = {
        "memory_gib": 3.0,
        "total_gib": 80.0,
        "percent": 97,
        "power_watts": 650.4,
        "celsius": 71,
        "name": "NVIDIA H100",
    }
    assert machine.machine_load()["gpus"] == [gpu, gpu]
    machine.machine_load()
    assert nvml.calls["nvmlInit"] == 1
    assert nvml.calls["nvmlDeviceGetName"] == 2, "what never changes is asked once"


@pytest.mark.parametrize(
    ("refused", "keys"),
    [
        ("nvmlDeviceGetUtilizationRates", {"percent"}),  # MIG
        ("nvmlDeviceGetMemoryInfo", {"memory_gib", "total_gib"}),  # memory shared with the CPU
        ("nvmlDeviceGetPowerUsage", {"power_watts"}),
        ("nvmlDeviceGetTemperature", {"celsius"}),
        ("nvmlDeviceGetName", {"name"}),
    ],
)
@pytest.mark.parametrize(
    "code",
    [
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_NO_PERMISSION,
        pynvml.NVML_ERROR_GPU_IS_LOST,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_UNKNOWN,
    ],
)
def test_what_a_device_does_not_tell_is_none(
    monkeypatch: pytest.MonkeyPatch, refused: str, keys: set[str], code: int
) -> None:
    nvml = Nvml(monkeypatch, 1)
    nvml.refuse(refused, code)
    (gpu,) = machine.machine_load()["gpus"]
    assert set(gpu) == KEYS
    assert {key for key, value in gpu.items() if value is None} == keys


@pytest.mark.parametrize(
    ("visible", "handles"),
    [
        ("0,1,2", [0, 1, 2]),
        ("2,0", [2, 0]),
        (" 1 ", [1]),
        ("", []),
        ("-1", []),
        ("0,7,1", [0]),
        ("GPU-1,GPU-2", [1, 2]),
        ("GPU-1,GPU-nowhere,GPU-2", [1]),
        ("NoDevFiles", []),
    ],
)
def test_cuda_visible_devices_leaves_in_what_cuda_would(
    monkeypatch: pytest.MonkeyPatch, visible: str, handles: list[int]
) -> None:
    Nvml(monkeypatch, 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [handle for handle, _ in machine.devices()] == [f"handle-{index}" for index in handles]
    assert ("gpus" in machine.machine_load()) == bool(handles)


def test_a_device_that_cannot_be_opened_ends_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml(monkeypatch, 2)
    nvml.refuse("nvmlDeviceGetHandleByIndex", pynvml.NVML_ERROR_NO_PERMISSION)
    assert machine.devices() == ()
