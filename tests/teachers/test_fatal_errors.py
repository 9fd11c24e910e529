"""After an error that concerns all requests, replies in flight are stored; with several servers the others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.collection.budget import Budget, price_of
from nsad_cli.collection.collect import CollectSummary, collect
from nsad_cli.config.schema import PriceConfig, Recipe, TeacherConfig
from nsad_cli.errors import NsadError
from nsad_cli.pipeline.collect_stage import collect_stage
from nsad_cli.runs.run import Run
from nsad_cli.store.rationales import Store
from nsad_cli.store.sqlite import database_error
from nsad_cli.teachers import make_teacher
from tests.helpers.faulty_servers import faulty_servers
from tests.helpers.notes import recorded_notes
from tests.helpers.questions import numbered_problems

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.types import Draw

KINDS = ["401", "402", "403", "404", "quota"]


def settings(*urls: str, **more: Any) -> TeacherConfig:
    value = {"base_url": urls, "prompt": "{question}", "concurrency": 26, "price": PriceConfig(input=1, output=2)}
    return TeacherConfig.model_validate(value | more)


@pytest.mark.parametrize("kind", KINDS)
def test_replies_in_flight_are_stored_and_charged_before_the_error(kind: str, tmp_path: Path) -> None:
    with (
        faulty_servers(tmp_path, ("--latency", "0.5", "--fatal", kind, "--at", "40")) as (server,),
        Store(tmp_path / "store.sqlite") as store,
    ):
        chosen = settings(server.url)
        budget, summary = Budget(price_of(chosen), None, chosen.prompt, chosen.max_tokens), CollectSummary()
        with pytest.raises(NsadError):
            collect(numbered_problems(200), make_teacher("m", chosen), 8, store, budget=budget, summary=summary)
        texts = {item.draw.text for item in store.verdicts.ungraded("none")}
        claims = store._db.execute("SELECT COUNT(*) FROM claims").fetchone()[0]
        paid = server.paid()
    assert texts == set(paid)
    assert summary.new == len(paid) >= 39 * 8
    assert budget.spent == pytest.approx(len(paid) / 8 * (10 + 2 * 8 * 5) / 1e6)
    assert server.refused() == 1, "nothing more is sent"
    assert claims == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_refuses_everything_is_dropped_with_one_note(kind: str, tmp_path: Path) -> None:
    notes = recorded_notes()
    options = (("--latency", "0.05", "--fatal", kind, "--at", "3", "--every"), ("--latency", "0.05"))
    with faulty_servers(tmp_path, *options) as servers, Store(tmp_path / "store.sqlite") as store:
        chosen = settings(*(server.url for server in servers), concurrency=16)
        summary = collect(numbered_problems(100), make_teacher("m", chosen), 2, store)
        paid = [text for server in servers for text in server.paid()]
    assert summary.new == 200 == len(paid)
    assert not summary.failures
    assert [line for line in notes if "gets no more requests" in line and servers[0].url in line] == notes
    assert len(notes) == 1


def test_the_last_of_several_servers_ends_the_collection(tmp_path: Path) -> None:
    options = ("--latency", "0.1", "--fatal", "401", "--at", "5", "--every")
    with faulty_servers(tmp_path, options, options) as servers, Store(tmp_path / "store.sqlite") as store:
        chosen = settings(*(server.url for server in servers), concurrency=8)
        with pytest.raises(NsadError, match="refused the API key"):
            collect(numbered_problems(100), make_teacher("m", chosen), 2, store)
        assert store.counts()["draws"] == sum(len(server.paid()) for server in servers) == 16


def test_the_stage_reports_what_an_ended_collection_has_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSAD_HOME", str(tmp_path))
    notes = recorded_notes()
    with faulty_servers(tmp_path, ("--latency", "0.3", "--fatal", "402", "--at", "9")) as (server,):
        recipe = Recipe.model_validate(
            {
                "problems": {"train": "arithmetic:train", "limit": 50},
                "teacher": {"spec": "m", "draws": 4, **settings(server.url).model_dump(include={"base_url", "price"})},
            }
        )
        with pytest.raises(NsadError, match="requires a payment") as error:
            collect_stage(Run.create("paid", recipe))
        paid = len(server.paid())
    assert "no credit left" in error.value.why
    cost = paid / 4 * (10 + 2 * 20) / 1e6
    assert f"collect: {paid} draws arrived and are stored ({paid / 4 * 30:.0f} tokens, ${cost:.4f} spent)" in notes


def test_a_store_that_cannot_be_written_for_a_moment_loses_no_reply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One commit fails: its draws are stored with the last ones, before the error."""
    with (
        faulty_servers(
            tmp_path,
            (
                "--latency",
                "0.2",
            ),
        ) as (server,),
        Store(tmp_path / "store.sqlite") as store,
    ):
        add, calls = store.add_draws, 0

        def fail_once(draws: list[Draw], params: str, *, durable: bool = True) -> int:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise database_error(store.path, "store", OSError("database or disk is full"))
            return add(draws, params, durable=durable)

        monkeypatch.setattr(store, "add_draws", fail_once)
        with pytest.raises(NsadError, match="cannot write the store"):
            collect(numbered_problems(60), make_teacher("m", settings(server.url)), 2, store)
        assert store.counts()["draws"] == len(server.paid()) < 120
