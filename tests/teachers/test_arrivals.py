"""Draws that arrive are stored in groups; whoever waits for them goes on when the disk has them."""

from __future__ import annotations

import asyncio
import threading

import pytest

from nsad_cli.teachers.arrivals import Arrivals
from nsad_cli.teachers.base import StagedReceiver
from nsad_cli.types import Draw


class Receiver(StagedReceiver):
    """Records its stages; `sync` waits until it is allowed to end, and fails as often as it should."""

    def __init__(self, failures: int = 0) -> None:
        self.stages: list[tuple[str, list[int]]] = []
        self.written: list[int] = []
        self.may_sync, self.failures = threading.Event(), failures

    def write(self, draws: list[Draw]) -> int:
        self.written = [draw.index for draw in draws]
        self.stages.append(("write", self.written))
        return len(draws)

    def sync(self) -> None:
        assert self.may_sync.wait(20)
        self.stages.append(("sync", self.written))
        self.failures -= 1
        if self.failures >= 0:
            raise OSError("disk")

    def count(self, draws: list[Draw], new: int) -> None:
        assert new == len(draws)
        self.stages.append(("count", [draw.index for draw in draws]))


def draw(number: int) -> Draw:
    return Draw("p", "t", number, "text")


def test_what_arrives_while_the_disk_is_busy_is_the_next_group() -> None:
    receiver = Receiver()

    async def arrive() -> None:
        arrivals = Arrivals(receiver)
        waiters = [asyncio.create_task(arrivals.stored([draw(0)]))]
        while not receiver.stages:
            await asyncio.sleep(0.001)
        waiters += [asyncio.create_task(arrivals.stored([draw(number)])) for number in (1, 2, 3)]
        await asyncio.sleep(0.05)
        assert not any(waiter.done() for waiter in waiters)
        assert receiver.stages == [("write", [0])]
        receiver.may_sync.set()
        await asyncio.gather(*waiters)

    asyncio.run(arrive())
    groups = ([0], [1, 2, 3])
    assert receiver.stages == [(stage, group) for group in groups for stage in ("write", "sync", "count")]


def test_a_group_that_the_disk_refuses_is_counted_once_it_has_it() -> None:
    receiver = Receiver(failures=1)
    receiver.may_sync.set()

    async def arrive() -> None:
        arrivals = Arrivals(receiver)
        with pytest.raises(OSError, match="disk"):
            await arrivals.stored([draw(0)])
        arrivals.store()

    asyncio.run(arrive())
    assert [stage for stage, _ in receiver.stages] == ["write", "sync", "sync", "count"]


def test_what_is_interrupted_while_it_waits_for_the_disk_is_stored_and_counted_once() -> None:
    receiver = Receiver()

    async def arrive() -> None:
        arrivals = Arrivals(receiver)
        waiter = asyncio.create_task(arrivals.stored([draw(0)]))
        while not receiver.stages:
            await asyncio.sleep(0.001)
        waiter.cancel()
        receiver.may_sync.set()
        arrivals.store()
        await asyncio.sleep(0.05)

    asyncio.run(arrive())
    assert [stage for stage, _ in receiver.stages].count("write") == 1
    assert [stage for stage, _ in receiver.stages].count("count") == 1


def test_a_plain_callback_is_called_once_for_each_group() -> None:
    groups: list[list[int]] = []

    async def arrive() -> None:
        arrivals = Arrivals(lambda draws: groups.append([draw.index for draw in draws]))
        await asyncio.gather(*(arrivals.stored([draw(number)]) for number in range(3)))

    asyncio.run(arrive())
    assert groups == [[0, 1, 2]]
