"""Several processes that draw locally share the work of one store; claims of those that have ended are drawn again."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.collection.claimed_requests import ClaimedRequests
from nsad_cli.collection.collect import Collection, CollectSummary, collect, params_key
from nsad_cli.store import claims
from nsad_cli.store.claims import OwnerWatch, is_alive, this_process
from nsad_cli.store.heartbeat import HEARTBEAT_SECONDS, LEASE_SECONDS
from nsad_cli.store.rationales import Store
from nsad_cli.types import Draw
from tests.helpers.questions import numbered_problems
from tests.helpers.sharing_processes import ELSEWHERE, OtherProcess, started_together

if TYPE_CHECKING:
    from pathlib import Path

FOREIGN = "other-host:17:another-boot/1/2"


class EchoTeacher:
    """Answers each request at once."""

    name = "t"
    params: dict[str, Any] = {}  # noqa: RUF012  # as of a plugin

    def problems(self) -> None:
        """Answer any problem."""

    def draw(self, requests: Any, on_draws: Any, on_failure: Any) -> None:  # noqa: ARG002  # see Teacher
        """Answer requests."""
        for request in requests:
            on_draws([Draw(request.problem.id, self.name, index, "2") for index in request.indices])


def stored_draws(path: Path) -> int:
    with Store(path, read_only=True) as store:
        return store.counts()["draws"]


@pytest.mark.parametrize(
    ("scheme", "problems", "draws"),
    [("batches", 100, 1), ("batches", 100, 4), ("arithmetic", 600, 4), ("hf", 100, 4)],
)
def test_two_equal_processes_share_the_work(
    scheme: str, problems: int, draws: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path, total = tmp_path / "store.sqlite", problems * draws
    teacher = f"hf:{request.getfixturevalue('tiny_llama')}" if scheme == "hf" else scheme
    one, other = started_together(path, teacher, problems, draws)
    with one, other:
        results = one.result(), other.result()
    assert sum(result["new"] for result in results) == total == stored_draws(path)
    assert sum(result["arrived"] for result in results) == total, "no draw is made twice"
    assert [result["stored"] for result in results] == [total, total]
    assert min(result["new"] for result in results) >= 0.4 * total, results


def test_another_process_finishes_what_a_killed_one_had_claimed(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path):
        pass
    one, other = started_together(path, "batches", 60, 4)
    with one, other:
        while stored_draws(path) < 60:
            time.sleep(0.02)
        one.kill()
        result = other.result()
    assert result["stored"] == stored_draws(path) == 240
    assert result["arrived"] == result["new"], "what is stored is not drawn again"
    with Store(path) as store:
        assert not store._db.execute("SELECT * FROM claims").fetchall()


def test_a_host_with_heartbeat_keeps_its_claims_and_one_without_loses_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that looks like one of another host is busy for longer than the lease; then it is killed."""
    lease, beat = 2.0, 0.2
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", beat)
    monkeypatch.setattr(claims, "is_alive", lambda owner, since: is_alive(owner, since, lease))
    path, problems, summary = tmp_path / "store.sqlite", numbered_problems(1), CollectSummary()
    with OtherProcess(ELSEWHERE, path, beat) as other:
        other.wait_until_ready()
        with Store(path) as store:
            watch, wanted = OwnerWatch(), [(problems[0].id, (0,))]
            key = EchoTeacher.name, params_key(EchoTeacher())
            deadline = time.monotonic() + 2.5 * lease
            while time.monotonic() < deadline:
                assert store.claims.acquire(*key, wanted, this_process(), watch.is_alive) == [()]
                time.sleep(0.05)
            other.kill()
            killed = time.monotonic()
            collect(problems, EchoTeacher(), 1, store, summary=summary)
    assert summary.new == 1
    assert time.monotonic() - killed > lease - 2 * beat, "not before the lease has passed"


def test_no_step_of_the_clock_makes_another_host_look_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims lapse if they are old by the clock, and were not renewed while they were watched."""
    steady = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: steady[0])
    watch, now = OwnerWatch(), time.time()
    stale = now - LEASE_SECONDS - 1
    assert watch.is_alive(FOREIGN, now)
    assert watch.is_alive(FOREIGN, stale), "the clock may have been stepped"
    steady[0] += 2 * HEARTBEAT_SECONDS - 1
    assert watch.is_alive(FOREIGN, stale)
    assert watch.is_alive(FOREIGN, stale + HEARTBEAT_SECONDS - 60), "an older claim of the same owner"
    steady[0] += 2
    assert not watch.is_alive(FOREIGN, stale)
    assert watch.is_alive(FOREIGN, stale + 1), "a heartbeat"


def test_a_claim_of_a_living_process_is_kept_for_hours(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        problems = numbered_problems(1)
        store.add_problems(problems)
        wanted = [(problems[0].id, (0,))]
        assert store.claims.acquire("t", "k", wanted, this_process(), is_alive) == [(0,)]
        store._db._connection.execute("UPDATE claims SET created = created - 7200")
        assert store.claims.acquire("t", "k", wanted, "other", OwnerWatch().is_alive) == [()]
        assert is_alive(this_process(), time.time() - 7200)


def test_claims_become_smaller_and_leave_the_others_their_share(tmp_path: Path) -> None:
    problems = numbered_problems(100)
    with Store(tmp_path / "store.sqlite") as store:
        store.add_problems(problems)
        collection = Collection(problems, EchoTeacher(), store, lambda *_, **__: None, None, CollectSummary())
        missing = {problem.id: (0, 1) for problem in problems}
        mine = ClaimedRequests(collection, missing, is_alive)
        first = next(mine)
        assert store._db.execute("SELECT COUNT(*) FROM claims").fetchone() == (14,), "7 of 100 problems, 2 draws each"
        assert mine.max_in_flight() == sys.maxsize, "alone"
        last = [(problems[-1].id, (0, 1))]
        assert store.claims.acquire("t", collection.params, last, FOREIGN, is_alive) == [(0, 1)]
        taken = [first, *(next(mine) for _ in range(7))]
        assert mine.max_in_flight() == (200 - 16) / 4, "half of this process's half of what is left"
        mine.put_back(taken.pop())
        taken += mine
        assert [request.problem for request in taken] == problems[:-1]
        assert mine.claimed_by_others == 2
        assert mine.max_in_flight() == 8
        store.claims.release(FOREIGN)
