"""Collecting from a server that misbehaves, by processes that are killed: every draw ends once."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.collection.budget import Budget, price_of
from nsad_cli.collection.collect import collect, collect_until
from nsad_cli.config.schema import PriceConfig, TeacherConfig, UntilConfig
from nsad_cli.errors import UsageError
from nsad_cli.grading.checker import Checker
from nsad_cli.grading.grade import grade
from nsad_cli.store.rationales import Store
from nsad_cli.teachers import make_teacher
from nsad_cli.types import Finish
from nsad_cli.utils.rate_limit import _limiter
from tests.helpers.faulty_servers import collecting
from tests.helpers.questions import numbered_problems

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[object]:
    """Start a server with options: its URL, its log."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> tuple[str, Path]:
        port, log = tmp_path / f"port{len(started)}", tmp_path / f"log{len(started)}"
        command = [sys.executable, "-m", "tests.helpers.faulty_server", str(port), str(log), *options]
        started.append(subprocess.Popen(command))
        while not port.exists():
            time.sleep(0.02)
        return f"http://127.0.0.1:{port.read_text()}/v1", log

    yield start
    for process in started:
        process.kill()
        process.wait()


def sent(log: Path) -> list[tuple[str, str, str]]:
    return [(row[0], row[1], row[2]) for row in map(json.loads, log.read_text().splitlines())]


@pytest.mark.slow
def test_ten_thousand_draws_with_faults_and_kills(serve: object, tmp_path: Path) -> None:
    assert callable(serve)
    url, log = serve("--faults", "0.2", "--latency", "0.05")
    path, chance, kills = tmp_path / "store.sqlite", random.Random(), 0
    while kills < 20:
        process = collecting(url, path, 1250, 8, concurrency=12, timeout=0.5)
        with Store(path) as store:
            before = store.counts()["draws"]
            while process.poll() is None and store.counts()["draws"] == before:
                time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.1))
        ended = process.poll() is not None
        process.kill()
        process.communicate()
        if ended:
            break  # nothing was left to kill
        kills += 1
    done = collecting(url, path, 1250, 8, timeout=0.5)
    said, _ = done.communicate(timeout=300)
    assert done.returncode == 0
    assert said.split() == ["10000", "0"]
    assert kills == 20
    asked = {problem.id: problem.question for problem in numbered_problems(1250)}
    replies = sent(log)
    texts = {text for _, _, text in replies if text}
    with Store(path) as store:
        stored = [item.draw for item in store.verdicts.ungraded("none")]
    assert len(stored) == 10_000 == len({(draw.problem_id, draw.index) for draw in stored})
    full = [draw for draw in stored if draw.text]
    assert len({draw.text for draw in full}) == len(full), "no reply is two draws"
    assert all(draw.text in texts for draw in full), "no draw is invented"
    assert all(draw.text.startswith(f"{asked[draw.problem_id]} |") for draw in full), "each at its own problem"
    assert {draw.finish for draw in stored if not draw.text} == {Finish.FILTERED}
    cut = {text for kind, _, text in replies if kind == "length"}
    assert all((draw.text in cut) == (draw.finish is Finish.LENGTH) for draw in full)
    lost = len([text for _, _, text in replies if text]) - len(full)
    assert lost <= 20 * 12 * 8 + 64 * 8, "at most what was in flight at each kill"
    with Store(path) as store, Checker() as checker:
        verdicts = grade(store, checker).by_verdict()
    assert verdicts["filtered"] == 10_000 - len(full)
    assert verdicts["truncated"] == len([1 for d in full if d.text in cut])


def test_two_processes_never_ask_for_the_same_draw(serve: object, tmp_path: Path) -> None:
    assert callable(serve)
    url, log = serve("--latency", "0.05")
    both = [collecting(url, tmp_path / "store.sqlite", 300, 4) for _ in range(2)]
    for process in both:
        said, _ = process.communicate(timeout=60)
        assert said.split() == ["1200", "0"], "each goes home when all is there"
    assert len(sent(log)) == 1200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_loses_nothing_that_is_paid(number: signal.Signals, serve: object, tmp_path: Path) -> None:
    assert callable(serve)
    url, log = serve("--latency", "0.3")
    path = tmp_path / "store.sqlite"
    process = collecting(url, path, 400, 4)
    while not log.exists() or len(sent(log)) < 300:
        time.sleep(0.02)
    process.send_signal(number)
    process.communicate(timeout=20)
    with Store(path) as store:
        assert store.counts()["draws"] == len(sent(log)) < 1600
        assert store._db.execute("SELECT COUNT(*) FROM claims").fetchone()[0] == 0


def test_a_dead_process_leaves_no_claim_behind(tmp_path: Path) -> None:
    from nsad_cli.store.claims import is_alive, this_process

    with Store(tmp_path / "store.sqlite") as store:
        (problem,) = numbered_problems(1)
        store.add_problems([problem])
        dead = subprocess.Popen(
            [sys.executable, "-c", "from nsad_cli.store.claims import this_process; print(this_process())"],
            stdout=-1,
            text=True,
        )
        owner = dead.communicate()[0].strip()
        wanted = [(problem.id, (0, 1))]
        assert store.claims.acquire("t", "k", wanted, this_process(), is_alive) == [(0, 1)]
        assert store.claims.acquire("t", "k", wanted, "other-host:1:1.0", is_alive) == [()]
        store.claims.release(this_process())
        assert store.claims.acquire("t", "k", wanted, owner, is_alive) == [(0, 1)]
        assert not is_alive(owner, time.time())
        assert store.claims.acquire("t", "k", wanted, this_process(), is_alive) == [(0, 1)], "its owner is dead"


@pytest.mark.parametrize("options", [(), ("--no-n",)])
def test_draws_of_one_problem_share_a_request_where_the_server_can(
    options: tuple[str, ...], serve: object, tmp_path: Path
) -> None:
    assert callable(serve)
    url, log = serve(*options)
    settings = TeacherConfig(base_url=[url], prompt="{question}", concurrency=8)
    with Store(tmp_path / "store.sqlite") as store:
        summary = collect(numbered_problems(5), make_teacher("m", settings), 6, store)
        draws = [item.draw for item in store.verdicts.ungraded("none")]
    assert summary.new == 30 == len(sent(log))
    paid = sum(draw.prompt_tokens for draw in draws), sum(draw.completion_tokens for draw in draws)
    assert paid[1] == 5 * 30
    assert paid[0] == 5 * 10 if not options else paid[0] >= 300 - 5 * 10


def test_several_servers_share_the_load(serve: object, tmp_path: Path) -> None:
    assert callable(serve)
    (fast, fast_log), (slow, slow_log) = serve("--latency", "0.02"), serve("--latency", "0.1")
    settings = TeacherConfig(base_url=[slow, fast], prompt="{question}", concurrency=8)
    with Store(tmp_path / "store.sqlite") as store:
        assert collect(numbered_problems(200), make_teacher("m", settings), 1, store).new == 200
    assert len(sent(fast_log)) > len(sent(slow_log)) > 10, "the quicker one gets more"


def test_limits_a_minute_are_kept(serve: object, tmp_path: Path) -> None:
    assert callable(serve)
    url, log = serve()
    settings = TeacherConfig(base_url=[url], prompt="{question}", concurrency=8, requests_per_minute=600)
    started = time.monotonic()
    with Store(tmp_path / "store.sqlite") as store:
        collect(numbered_problems(50), make_teacher("m", settings), 1, store)
    assert time.monotonic() - started > 1.9, "thirty at once, and twenty more in two seconds"
    assert len(sent(log)) == 50


@given(st.integers(1, 1_000_000))
def test_no_minute_sees_more_than_its_limit(a_minute: int) -> None:
    """A bucket of b that refills with r a second lets b + 60 r through, but for the one that fills up last."""
    limiter = _limiter(a_minute)
    assert limiter is not None
    assert limiter.max_rate + 60 * limiter.max_rate / limiter.time_period <= a_minute + 1 + 1e-6


@pytest.mark.parametrize(
    ("kind", "spent"), [("half", True), ("no usage", False), ("null usage", False), ("hang", False)]
)
def test_a_limit_of_cost_holds_for_replies_that_bring_nothing(
    kind: str, spent: bool, serve: object, tmp_path: Path
) -> None:
    """10 tokens of prompt and 5 of each answer, at 1 and 2 dollars per million: 0.00005 dollars for 4; at its worst a
    draw has 24 bytes and 20 tokens, 0.000064 dollars."""
    assert callable(serve)
    url, log = serve("--only", kind)
    price = PriceConfig(input=1, output=2)
    settings = TeacherConfig(
        base_url=[url], prompt="{question}", price=price, max_cost=0.001, max_tokens=20, timeout=0.3, concurrency=2
    )
    budget = Budget(price_of(settings), settings.max_cost, settings.prompt, settings.max_tokens)
    with Store(tmp_path / "store.sqlite") as store:
        summary = collect(numbered_problems(100), make_teacher("m", settings), 4, store, budget=budget)
    came = [int(asked) for kind, _, asked in sent(log) if kind == "came"]
    assert summary.out_of_money
    assert 0.0005 < budget.spent + budget.unsure <= 0.001
    if spent:
        assert budget.unsure == 0
        assert budget.spent == pytest.approx(sum(0.00001 * (1 + asked) for asked in came))
    else:
        assert budget.spent == 0
        assert sum(came) * 0.00006 < budget.unsure


def test_replies_that_only_their_own_problem_pays_for(serve: object, tmp_path: Path) -> None:
    assert callable(serve)
    found = {}
    for kind in ("surrogate", "refusal", "odd finish"):
        url, log = serve("--only", kind)
        with Store(tmp_path / f"{kind}.sqlite") as store:
            settings = TeacherConfig(base_url=[url], prompt="{question}", temperature=0)
            assert collect(numbered_problems(2), make_teacher("m", settings), 2, store).new == 4
            found[kind] = next(iter(store.verdicts.ungraded("none"))).draw
        assert len([line for line in sent(log) if line[0] == "came"]) == 2
    assert found["surrogate"].text == "half ? of it"
    assert found["surrogate"].finish is Finish.STOP
    assert (found["refusal"].text, found["refusal"].finish) == ("I will not.", Finish.FILTERED)
    assert found["odd finish"].finish is Finish.LENGTH, "who knows whether it was whole"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_once_interrupted_nothing_more_is_sent(number: signal.Signals, serve: object, tmp_path: Path) -> None:
    """Workers that wait for a limit a minute, or for the hour that a server asks for, go home at once."""
    assert callable(serve)
    url, log = serve("--only", "wait an hour")
    process = collecting(url, tmp_path / "store.sqlite", 40, 1)
    while not log.exists() or not sent(log):
        time.sleep(0.02)
    time.sleep(0.5)
    came, at = len(sent(log)), time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=20)
    assert time.monotonic() - at < 10
    assert process.returncode != 0
    assert len(sent(log)) == came


def test_a_date_to_wait_for_is_believed(serve: object, tmp_path: Path) -> None:
    assert callable(serve)
    url, log = serve("--only", "wait until")
    process = collecting(url, tmp_path / "store.sqlite", 1, 1)
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert len(sent(log)) == 1


def test_a_limit_of_cost_is_never_passed(serve: object, tmp_path: Path) -> None:
    """10 tokens of prompt and 5 of answer a draw, at 1 and 2 dollars per million: 0.00002 dollars each."""
    assert callable(serve)
    url, log = serve()
    price = PriceConfig(input=1, output=2)
    settings = TeacherConfig(base_url=[url], prompt="{question}", price=price, max_cost=0.0008, max_tokens=20)
    budget = Budget(price_of(settings), settings.max_cost, settings.prompt, settings.max_tokens)
    seen: list[float] = []
    with Store(tmp_path / "store.sqlite") as store:
        summary = collect(
            numbered_problems(100),
            make_teacher("m", settings),
            1,
            store,
            lambda *_, **money: seen.append(money.get("projected", 0)),
            budget=budget,
        )
        assert summary.out_of_money
        assert 0.0007 < budget.spent <= 0.0008
        assert summary.new == len(sent(log)) == pytest.approx(budget.spent / 0.00002)
        assert seen[-1] == pytest.approx(100 * 0.00002, rel=0.01), "what all of it would cost"
        more = Budget(price_of(settings), 1.0, settings.prompt, settings.max_tokens)
        assert collect(numbered_problems(100), make_teacher("m", settings), 1, store, budget=more).stored == 100
    with pytest.raises(UsageError, match="requires a price"):
        Budget(None, 1.0, "", 1)


def test_openais_prices_are_known() -> None:
    price = price_of(TeacherConfig(spec="gpt-4"))
    assert price is not None
    assert price.of(1_000_000, 0) == pytest.approx(30)
    assert price.of(0, 1000) == pytest.approx(0.06)
    assert price_of(TeacherConfig(spec="a-model-of-nobody")) is None
    assert price_of(TeacherConfig(spec="gpt-4", base_url=["http://127.0.0.1:1/v1"])) is None


def test_draws_go_on_until_both_sides_are_there(tmp_path: Path) -> None:
    from nsad_cli.problems import load_problems

    problems = load_problems("arithmetic:train", limit=40)
    teacher = make_teacher("arithmetic", TeacherConfig())
    with Store(tmp_path / "store.sqlite") as store, Checker() as checker:
        until = UntilConfig(positives=1, negatives=1, max_draws=12)
        summary = collect_until(problems, teacher, 1, until, store, lambda: grade(store, checker))
        sides: dict[str, list[str]] = {problem.id: [] for problem in problems}
        verdicts = store._db.execute("SELECT d.problem_id, v.verdict FROM draws d JOIN verdicts v ON v.draw_id = d.id")
        for pid, verdict in verdicts:
            sides[pid].append(verdict)
    assert summary.new == summary.stored == sum(map(len, sides.values()))
    for found in sides.values():
        assert {"correct", "wrong"} <= set(found) or len(found) == 12
        assert len(found) == 1 or not {"correct", "wrong"} <= set(found[:-1]), "not one draw too many"


def test_a_price_is_that_of_a_request_that_is_not_a_long_one() -> None:
    """Lists have a dearer tier for hundreds of thousands of tokens, which no word problem reaches."""
    from genai_prices import Usage, calc_price

    usage = Usage(input_tokens=2000, output_tokens=500)
    for model in ("gpt-4", "gpt-4o", "gpt-5.4"):
        price = price_of(TeacherConfig(spec=model))
        listed = float(calc_price(usage, model, provider_id="openai").total_price)
        assert price is not None
        assert price.of(2000, 500) == pytest.approx(listed)
