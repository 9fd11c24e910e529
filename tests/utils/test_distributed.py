"""Processes of a distributed run wait on the host, with doubles of torch's process groups."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import accelerate
import pytest
import torch.distributed

from nsad_cli.utils import distributed

if TYPE_CHECKING:
    from collections.abc import Iterator


class Groups:
    """A double of the part of torch.distributed that barriers use, as after a start with NCCL."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []
        self.waited: list[object] = []
        self.reduced: list[tuple[torch.device, object]] = []
        self.elsewhere = 0.0
        """The sum of the other processes' flags."""

    def new_group(self, **settings: Any) -> object:
        self.made.append(settings)
        return "host group"

    def barrier(self, group: object = None) -> None:
        self.waited.append(group)

    def all_reduce(self, tensor: torch.Tensor, group: object = None) -> None:
        self.reduced.append((tensor.device, group))
        tensor += self.elsewhere


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> Iterator[Groups]:
    """Two processes that have started with NCCL."""
    double = Groups()
    for name in ("new_group", "barrier", "all_reduce"):
        monkeypatch.setattr(torch.distributed, name, getattr(double, name))
    monkeypatch.setattr(accelerate, "PartialState", lambda **_: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    distributed._host_group.cache_clear()
    yield double
    distributed._host_group.cache_clear()


def test_a_barrier_waits_on_the_host_and_not_by_nccl(groups: Groups) -> None:
    distributed.barrier()
    distributed.barrier()
    assert groups.waited == ["host group", "host group"]
    assert len(groups.made) == 1, "every process makes the group once"
    assert groups.made[0]["backend"] == "gloo"
    assert groups.made[0]["timeout"] >= timedelta(days=1), "the main process may sample for hours"


def test_flags_are_exchanged_on_the_host(groups: Groups) -> None:
    assert not distributed.any_process(False)
    assert distributed.any_process(True)
    groups.elsewhere = 1.0
    assert distributed.any_process(False)
    assert groups.reduced == [(torch.device("cpu"), "host group")] * 3


def test_a_single_process_never_waits(groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE")
    distributed.barrier()
    assert distributed.any_process(True)
    assert not groups.made
    assert not groups.waited
