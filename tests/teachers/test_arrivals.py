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
        self.stages: list[str] = []
        self.may_sync, self.failures = threading.Event(), failures

    def write(self, draws: list[Draw]) -> None:
        self.stages.append(f"write {' '.join(str(draw.index) for draw in draws)}")

    def sync(self) -> None:
        self.stages.append("sync")
        assert self.may_sync.wait(20)
        self.failures -= 1
        if self.failures >= 0:
            raise OSError("disk")

    def synced(self) -> None:
        self.stages.append("synced")


def draw(number: int) -> Draw:
    return Draw("p", "t", number, "text")


def test_a_reply_is_written_at_once_and_waits_for_the_disk_with_others() -> None:
    receiver = Receiver()

    async def arrive() -> None:
        arrivals = Arrivals(receiver, 8)
        await arrivals.stored([draw(0)])
        while len(receiver.stages) < 2:
            await asyncio.sleep(0.001)
        await asyncio.gather(*(arrivals.stored([draw(number)]) for number in (1, 2)))
        await arrivals.stored([draw(3), draw(4)])
        assert receiver.stages == ["write 0", "sync", "write 1 2", "write 3 4"]
        receiver.may_sync.set()
        while len(receiver.stages) < 7:
            await asyncio.sleep(0.001)

    asyncio.run(arrive())
    assert receiver.stages[4:] == ["synced", "sync", "synced"]


def test_no_more_replies_than_allowed_wait_for_the_disk() -> None:
    receiver = Receiver()

    async def arrive() -> None:
        arrivals = Arrivals(receiver, 2)
        for number in (0, 1):
            await arrivals.stored([draw(number)])
        third = asyncio.create_task(arrivals.stored([draw(2)]))
        await asyncio.sleep(0.1)
        assert receiver.stages[-1] == "write 2"
        assert not third.done()
        receiver.may_sync.set()
        await third
        assert receiver.stages.count("write 2") == 1

    asyncio.run(arrive())
    assert receiver.stages[-1] == "synced"


def test_an_error_of_the_disk_stops_the_next_reply_and_is_tried_again_at_the_end() -> None:
    receiver = Receiver(failures=1)
    receiver.may_sync.set()

    async def arrive() -> None:
        arrivals = Arrivals(receiver, 8)
        await arrivals.stored([draw(0)])
        while receiver.failures:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        assert "synced" not in receiver.stages
        with pytest.raises(OSError, match="disk"):
            await arrivals.stored([draw(1)])
        arrivals.store()

    asyncio.run(arrive())
    assert receiver.stages == ["write 0", "sync", "write 1", "sync", "synced"]


def test_what_is_interrupted_is_written_and_synchronised_at_the_end() -> None:
    receiver = Receiver()
    receiver.may_sync.set()

    async def arrive() -> None:
        arrivals = Arrivals(receiver, 8)
        waiter = asyncio.create_task(arrivals.stored([draw(0)]))
        await asyncio.sleep(0)
        waiter.cancel()
        arrivals.store()
        await asyncio.sleep(0.05)

    asyncio.run(arrive())
    assert receiver.stages == ["write 0", "sync", "synced"]


def test_a_plain_callback_is_called_once_for_each_group() -> None:
    groups: list[list[int]] = []

    async def arrive() -> None:
        arrivals = Arrivals(lambda draws: groups.append([draw.index for draw in draws]), 8)
        await asyncio.gather(*(arrivals.stored([draw(number)]) for number in range(3)))

    asyncio.run(arrive())
    assert groups == [[0, 1, 2]]
