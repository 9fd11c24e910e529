"""Collecting by batches from a server that speaks the Batch API, by processes that are killed: all is paid once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from nsad_cli.collection.batch_collect import collect_batches
from nsad_cli.collection.budget import Budget, price_of
from nsad_cli.collection.collect import CollectSummary, collect, params_key
from nsad_cli.config.schema import PriceConfig, TeacherConfig
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.store.batches import Batches
from nsad_cli.store.rationales import Store
from nsad_cli.teachers import make_teacher
from nsad_cli.types import problem_id
from tests.helpers.batch_api import Serve, Server, batch_servers, teacher
from tests.helpers.questions import problems

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COLLECT = """
import os, signal, sys
from pathlib import Path
from nsad_cli.collection import batch_collect as batches
from nsad_cli.store.batches import Batches
from nsad_cli.store.rationales import Store
from tests.helpers.batch_api import teacher
from tests.helpers.questions import numbered_problems
batches.FIRST_POLL_SECONDS = batches.MAX_POLL_SECONDS = 0.05
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[4]:
    owner, _, method = sys.argv[4].partition(".")
    setattr({"Batches": Batches, "Store": Store}[owner], method, die)
asked = numbered_problems(int(sys.argv[3]))
with Store(Path(sys.argv[2])) as store:
    summary = batches.collect_batches(asked, teacher(sys.argv[1]), 4, store)
print(summary.stored, summary.new, flush=True)
"""


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    yield from batch_servers(tmp_path, monkeypatch)


def collecting(server: Server, store: Path, count: int, dies_at: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COLLECT, server.url, str(store), str(count), dies_at]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> list[str]:
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return said.split()


def texts(store: Store) -> list[str]:
    return sorted(item.draw.text for item in store.verdicts.ungraded("none"))


def test_draws_of_a_problem_share_a_request_and_every_draw_arrives(serve: Serve, tmp_path: Path) -> None:
    server, asked = serve(), problems("one", "two", "three")
    with Store(tmp_path / "store.sqlite") as store:
        assert collect_batches(asked, teacher(server.url), 3, store) == CollectSummary(9, 9, 3 * 10 + 9 * 5)
        again = collect_batches(asked, teacher(server.url), 20, store)
        assert (again.stored, again.new, again.tokens) == (60, 51, 6 * 10 + 51 * 5), "16 and then 1 of each"
        told = server.told()
        assert texts(store) == sorted(told["texts"])
        assert len(told["requests"]) == 3 + 6
        assert collect_batches(asked, teacher(server.url), 20, store).new == 0
    assert len(server.told()["batches"]) == 2 == len([b for b in told["batches"] if b["metadata"]["nsad"]])


def test_killed_in_every_state_it_goes_on_and_pays_once(serve: Serve, tmp_path: Path) -> None:
    server, path = serve(), tmp_path / "store.sqlite"
    for state in ("validating", "in_progress", "finalizing"):
        server.control(hold=state)
        process = collecting(server, path, 30)
        while server.states() != [state]:
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    with Store(path) as store:
        assert store.counts()["draws"] == 0
    server.control(hold="")
    assert finished(collecting(server, path, 30)) == ["120", "120"]
    with Store(path) as store:
        told = server.told()
        assert texts(store) == sorted(told["texts"])
        assert set(told["answered"].values()) == {4}
        assert len(told["batches"]) == 1
        assert len(told["requests"]) == 30


@pytest.mark.parametrize(
    ("dies_at", "batches"),
    [("Batches.add", 1), ("Batches.change_id", 1), ("Batches.close", 1), ("Store.add_draws", 1)],
    ids=["before the API hears of it", "between create and record", "with all stored", "with the replies fetched"],
)
def test_killed_at_any_step_it_pays_once(serve: Serve, tmp_path: Path, dies_at: str, batches: int) -> None:
    server, path = serve(), tmp_path / "store.sqlite"
    first = collecting(server, path, 10, dies_at)
    first.communicate(timeout=60)
    assert first.returncode == -signal.SIGKILL
    stored = finished(collecting(server, path, 10))[0]
    told = server.told()
    assert stored == "40"
    assert len(told["batches"]) == batches
    assert set(told["answered"].values()) == {4}
    with Store(path) as store:
        assert texts(store) == sorted(told["texts"])


def test_killed_before_the_batch_was_made_it_is_made_anew(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, asked = serve(), problems("one", "two")
    with Store(tmp_path / "store.sqlite") as store:
        monkeypatch.setattr("nsad_cli.teachers.batch_api.BatchApi.submit", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            collect_batches(asked, teacher(server.url), 2, store)
        key = params_key(teacher(server.url))
        assert sum(map(len, store.batches.held_draws("m", key).values())) == 4
        assert collect(asked, teacher(server.url, batch=False), 2, store).in_batches == 4
        monkeypatch.undo()
        monkeypatch.setattr("nsad_cli.collection.batch_collect.FIRST_POLL_SECONDS", 0.01)
        assert collect_batches(asked, teacher(server.url), 2, store).new == 4
    assert len(server.told()["batches"]) == 1


def _interrupt(*_: object) -> str:
    raise KeyboardInterrupt


def test_an_answer_lost_on_its_way_makes_no_second_batch(serve: Serve, tmp_path: Path) -> None:
    server, asked = serve(), problems("one", "two")
    server.control(cut=1)
    with Store(tmp_path / "store.sqlite") as store:
        assert collect_batches(asked, teacher(server.url), 2, store).new == 4
    assert len(server.told()["batches"]) == 1


def test_only_what_failed_or_expired_is_asked_again(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    asked = problems("good one", "flaky", "late", "lost", "half", "bad", "single", "good two")
    with Store(tmp_path / "store.sqlite") as store:
        summary = collect_batches(asked, teacher(server.url), 4, store)
        told = server.told()
        assert summary.new == 28
        assert list(summary.failures.values()) == ["bad request"]
        assert texts(store) == sorted(told["texts"]), "what is paid is stored"
    assert told["batches"][0]["status"] == "expired"
    times = {question: told["answered"].get(question, 0) for question in (item.question for item in asked)}
    assert times == {problem.question: 4 * (problem.question != "bad") for problem in asked}
    asked_again = [key.split(":")[0] for key in told["requests"][len(asked) :]]
    good = {problem_id("good one"), problem_id("good two")}
    assert not good & set(asked_again)
    assert asked_again.count(problem_id("half")) in (1, 2)


def test_a_failed_batch_is_tried_again_and_one_that_always_fails_is_told(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    with Store(tmp_path / "store.sqlite") as store:
        assert collect_batches(problems("doomed", "other"), teacher(server.url), 2, store).new == 4
        assert server.states() == ["failed", "completed"]
        server.control(waiting=-1)  # every batch is too large, even one of a single request
        summary = collect_batches(problems("third"), teacher(server.url), 1, store)
        assert "Enqueued token limit" in summary.failures[problem_id("third")]
        assert len(server.told()["batches"]) == 2 + 3, "three tries"
        server.control(waiting=0)
        assert collect_batches(problems("third"), teacher(server.url), 1, store).new == 1


def test_where_less_may_wait_smaller_batches_follow_each_other(serve: Serve, tmp_path: Path) -> None:
    server = serve("--waiting", "3")
    with Store(tmp_path / "store.sqlite") as store:
        summary = collect_batches(problems(*(f"q {i}" for i in range(10))), teacher(server.url), 2, store)
    assert summary.new == 20
    assert not summary.failures
    assert server.states() == ["failed", "failed"] + ["completed"] * 5


def test_the_apis_limits_split_batches(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, asked = serve(), problems(*(f"q {i}" for i in range(10)))
    monkeypatch.setattr("nsad_cli.collection.batch_collect.MAX_REQUESTS", 4)
    with Store(tmp_path / "store.sqlite") as store:
        assert collect_batches(asked, teacher(server.url), 1, store).new == 10
        assert len(server.told()["batches"]) == 3
        monkeypatch.setattr("nsad_cli.collection.batch_lines.MAX_BYTES", 1)
        assert collect_batches(asked, teacher(server.url), 2, store).new == 10
    assert len(server.told()["batches"]) == 13


def test_a_model_that_knows_no_max_tokens(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    with Store(tmp_path / "store.sqlite") as store:
        assert collect_batches(problems("newer one", "newer two"), teacher(server.url), 2, store).new == 4
    assert len(server.told()["batches"]) == 2


def test_a_limit_of_cost_holds_for_what_is_handed_over(serve: Serve, tmp_path: Path) -> None:
    """At half of 1 and 2 dollars per million a draw costs 0.000005 to 0.00001; at worst (4 + 8 + 2·20)/2 millionths."""
    server, asked = serve(), problems(*(f"q {i:02}" for i in range(40)))
    made = teacher(server.url, price=PriceConfig(input=1, output=2))

    def budget(limit: float) -> Budget:
        return Budget(price_of(made.settings), limit, "{question}", 20)

    with Store(tmp_path / "store.sqlite") as store:
        small = budget(0.00002)
        summary = collect_batches(asked, made, 1, store, budget=small)
        assert summary.out_of_money
        assert summary.new == 0
        assert small.spent == 0
        assert not server.told()["batches"]
        limited = budget(0.0003)
        summary = collect_batches(asked, made, 1, store, budget=limited)
        assert summary.out_of_money
        assert 0.00025 < limited.spent <= 0.0003
        told = server.told()
        paid = 5e-7 * 10 * len(told["texts"]) + 1e-6 * 5 * len(told["texts"])
        assert limited.spent == pytest.approx(paid)
        assert len(told["batches"]) > 1, "what was left over was spent too"
        assert collect_batches(asked, made, 1, store, budget=budget(1)).stored == 40


def test_a_batch_of_an_earlier_command_counts_against_the_limit(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, asked = serve(), problems(*(f"q {i:02}" for i in range(10)))
    made = teacher(server.url, price=PriceConfig(input=1, output=2))
    server.control(hold="in_progress")
    with Store(tmp_path / "store.sqlite") as store:
        monkeypatch.setattr("time.sleep", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            collect_batches(asked[:5], made, 1, store)
        with pytest.raises(KeyboardInterrupt):  # five draws at 0.000026 are under way, and a sixth may not be
            collect_batches(asked, made, 1, store, budget=Budget(price_of(made.settings), 0.00014, "{question}", 20))
        assert len(server.told()["requests"]) == 5
        monkeypatch.undo()
        server.control(hold="")
        rest = Budget(price_of(made.settings), 1.0, "{question}", 20)
        assert collect_batches(asked, made, 1, store, budget=rest).new == 10
        assert rest.spent == pytest.approx(1e-4)


def test_replies_that_are_read_twice_count_once(serve: Serve, tmp_path: Path) -> None:
    server, asked = serve(), problems("one", "two")
    made = teacher(server.url, price=PriceConfig(input=1, output=2))
    with Store(tmp_path / "store.sqlite") as store:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Batches, "close", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                collect_batches(asked, made, 2, store)
        assert store.counts()["draws"] == 4
        budget = Budget(price_of(made.settings), 1.0, "{question}", 20)
        again = collect_batches(asked, made, 2, store, budget=budget)
        assert again == CollectSummary(stored=4)
        assert budget.spent == 0


def test_plain_collection_leaves_a_batchs_draws_alone(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, asked = serve(), problems("one", "two")
    server.control(hold="in_progress")
    with Store(tmp_path / "store.sqlite") as store:
        monkeypatch.setattr("time.sleep", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            collect_batches(asked, teacher(server.url), 2, store)
        plain = collect(asked, teacher(server.url, batch=False), 2, store)
        assert plain == CollectSummary(in_batches=4)


def test_two_processes_hand_over_each_draw_once(serve: Serve, tmp_path: Path) -> None:
    server, path = serve(), tmp_path / "store.sqlite"
    both = [collecting(server, path, 200) for _ in range(2)]
    assert {finished(process)[0] for process in both} == {"800"}
    told = server.told()
    assert len(told["requests"]) == len(set(told["requests"])) == 200
    assert set(told["answered"].values()) == {4}


def test_a_batch_that_is_gone_or_was_cancelled_is_told_and_not_paid_again(serve: Serve, tmp_path: Path) -> None:
    for gone in (True, False):
        server, asked = serve(), problems("one")
        with Store(tmp_path / f"{gone}.sqlite") as store:
            server.control(hold="validating")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("time.sleep", _interrupt)
                with pytest.raises(KeyboardInterrupt):
                    collect_batches(asked, teacher(server.url), 2, store)
            (batch,) = server.told()["batches"]
            server.control(batches={} if gone else {batch["id"]: batch | {"status": "cancelled"}})
            if gone:  # another key's, perhaps: it keeps its draws until the user gives it up
                for _ in range(2):
                    with pytest.raises(NsadError, match="does not know the batch") as error:
                        collect_batches(asked, teacher(server.url), 2, store)
                    assert "its 2 draws may have been charged" in error.value.why
                    assert batch["id"] in error.value.fix
                assert store.batches.abandon(batch["id"])
                assert not store.batches.abandon(batch["id"])
            else:
                summary = collect_batches(asked, teacher(server.url), 2, store)
                assert "cancelled" in summary.failures[asked[0].id]
            assert len(server.told()["requests"]) == 1
            server.control(hold="")
            assert collect_batches(asked, teacher(server.url), 2, store).new == 2, "asked again by the user"


def test_what_cannot_be_asked_by_batches(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsad_cli.collection.batch_collect.MAX_MISSED_POLLS", 1)
    monkeypatch.setattr("nsad_cli.teachers.batch_api.MAX_RETRIES", 0)
    for spec in ("arithmetic", "hf:x", "jsonl:x"):
        with pytest.raises(UsageError, match="does not support batches"):
            make_teacher(spec, TeacherConfig(batch=True))
    with pytest.raises(UsageError, match="does not support batches"):
        make_teacher("m", TeacherConfig(batch=True, base_url=["http://a.org", "http://b.org"]))
    server = serve()
    with Store(tmp_path / "store.sqlite") as store:
        with pytest.raises(NsadError, match="has no batch API") as error:
            collect_batches(problems("q"), teacher(f"{server.url}/elsewhere"), 1, store)
        assert "--no-batch" in error.value.fix
        assert not store.batches.held_draws("m", params_key(teacher(server.url))), "nothing is left claimed"
        with pytest.raises(NsadError, match="does not answer"):
            collect_batches(problems("q"), teacher("http://127.0.0.1:9"), 1, store)
