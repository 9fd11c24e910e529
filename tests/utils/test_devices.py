"""Selection of one of several GPUs, with doubles: before CUDA starts, for all libraries, and only once."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from nsad_cli.errors import NsadError
from nsad_cli.utils import devices
from nsad_cli.utils.devices import VISIBLE, select_gpu

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make a machine with some GPUs, for a process that has not selected one."""

    def make(*names: str, visible: str | None = None, started: bool = False) -> None:
        monkeypatch.setattr(devices, "devices", lambda: tuple((object(), name) for name in names))
        monkeypatch.setattr(devices, "_selected", [])
        monkeypatch.delenv("WORLD_SIZE", raising=False)
        monkeypatch.setenv(VISIBLE, visible or "")  # restored afterwards, whatever the test sets
        if visible is None:
            del os.environ[VISIBLE]
        cuda = SimpleNamespace(is_initialized=lambda: started)
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))

    return make


def test_one_gpu_is_made_the_only_visible_one(machine: Callable[..., None]) -> None:
    machine("A", "B", "C")
    select_gpu("cuda:1")
    assert os.environ[VISIBLE] == "1"
    select_gpu("cuda:1")  # asked for again: another stage of the same process
    select_gpu("cuda")
    assert os.environ[VISIBLE] == "1"
    with pytest.raises(NsadError, match=r"cuda:2.*uses cuda:1"):
        select_gpu("cuda:2")


def test_the_number_counts_the_visible_gpus(machine: Callable[..., None]) -> None:
    machine("A", "B", visible="3, GPU-77")
    select_gpu("cuda:1")
    assert os.environ[VISIBLE] == "GPU-77"


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:0"])
def test_without_a_number_it_is_the_first_of_several(machine: Callable[..., None], device: str) -> None:
    machine("A", "B")
    select_gpu(device)
    assert os.environ[VISIBLE] == "0"


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_single_gpu_needs_no_selection(machine: Callable[..., None], device: str) -> None:
    machine("A")
    select_gpu(device)
    assert VISIBLE not in os.environ


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_other_devices_hide_no_gpu(machine: Callable[..., None], device: str) -> None:
    machine("A", "B")
    select_gpu(device)
    assert VISIBLE not in os.environ


def test_a_process_of_a_launcher_has_its_own(machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    machine("A", "B")
    monkeypatch.setenv("WORLD_SIZE", "2")
    select_gpu("cuda:1")
    assert VISIBLE not in os.environ


def test_a_gpu_that_does_not_exist_names_those_that_do(machine: Callable[..., None]) -> None:
    machine("NVIDIA H200", "NVIDIA H100")
    with pytest.raises(NsadError) as error:
        select_gpu("cuda:2")
    assert "cuda:0 (NVIDIA H200), cuda:1 (NVIDIA H100)" in error.value.why
    assert VISIBLE not in os.environ


def test_cuda_that_has_started_cannot_change_its_gpu(machine: Callable[..., None]) -> None:
    machine("A", "B", started=True)
    with pytest.raises(NsadError, match="already initialised") as error:
        select_gpu("cuda:1")
    assert f"{VISIBLE}=1" in error.value.fix
    select_gpu("auto")
    assert VISIBLE not in os.environ


@pytest.mark.parametrize(("visible", "device"), [("", "cuda:1"), ("-1", "cuda:1"), ("2,3", "cuda:2"), ("-1", "cuda:0")])
def test_a_hidden_gpu_stays_hidden(machine: Callable[..., None], visible: str, device: str) -> None:
    machine(visible=visible)
    with pytest.raises(NsadError, match="does not exist"):
        select_gpu(device)
    assert os.environ[VISIBLE] == visible
