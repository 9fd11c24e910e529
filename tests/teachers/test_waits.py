"""Waits for a server: never without end, and those that are not short are shown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from nsad_cli.collection.collect import collect
from nsad_cli.config.schema import TeacherConfig
from nsad_cli.errors import NsadError
from nsad_cli.store.rationales import Store
from nsad_cli.teachers import make_teacher
from nsad_cli.utils.rate_limit import retry_after, wait_in_words
from tests.helpers.faulty_servers import collecting, faulty_servers
from tests.helpers.notes import recorded_notes
from tests.helpers.questions import numbered_problems

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("kind", "words"), [("wait inf", "forever"), ("wait a year", "365 days")])
def test_a_wait_without_end_is_an_error(kind: str, words: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with faulty_servers(tmp_path, ("--only", kind)) as (server,), Store(tmp_path / "store.sqlite") as store:
        chosen = TeacherConfig(base_url=[server.url], prompt="{question}", concurrency=8)
        with pytest.raises(NsadError, match=f"asks to wait {words}: more than the maximum of 60 min") as error:
            collect(numbered_problems(30), make_teacher("m", chosen), 2, store)
    assert "too fast" in error.value.why
    assert time.monotonic() - began < 30


def test_one_of_two_servers_that_asks_for_a_year_is_dropped(tmp_path: Path) -> None:
    notes = recorded_notes()
    with (
        faulty_servers(tmp_path, ("--only", "wait a year"), ("--latency", "0.3")) as servers,
        Store(tmp_path / "store.sqlite") as store,
    ):
        chosen = TeacherConfig(base_url=[one.url for one in servers], prompt="{question}", concurrency=4)
        assert collect(numbered_problems(60), make_teacher("m", chosen), 1, store).new == 60
    assert sum("asks to wait 365 days" in line for line in notes) == 1


@pytest.mark.parametrize(
    ("kind", "words"), [("wait an hour", "60 min"), ("wait epoch", "29 s|30 s"), ("wait until", "29 s|30 s")]
)
def test_a_wait_is_shown_once_with_its_reason(kind: str, words: str, tmp_path: Path) -> None:
    """By a process of its own, which is interrupted: it ends at once, and has sent no second request."""
    with faulty_servers(tmp_path, ("--only", kind)) as (server,):
        process = collecting(server.url, tmp_path / "store.sqlite", 8, 1, concurrency=4, notes=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        time.sleep(1)
        process.terminate()
        rest, _ = process.communicate(timeout=20)
        assert len(server.lines()) == 4
    assert any(f"waiting {time_left} (the server answered 429: too fast)" in line for time_left in words.split("|"))
    assert "waiting" not in rest


def test_a_limit_of_the_recipe_that_makes_requests_wait_is_shown_once(tmp_path: Path) -> None:
    notes = recorded_notes()
    with faulty_servers(tmp_path, ()) as (server,), Store(tmp_path / "store.sqlite") as store:
        chosen = TeacherConfig(base_url=[server.url], prompt="{question}", concurrency=4, requests_per_minute=20)
        assert collect(numbered_problems(4), make_teacher("m", chosen), 1, store).new == 4
    assert notes == [f"{server.url}/: requests wait for the recipe's limits, about one every 3 s"]


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("5", 5, 5),
        ("-5", 0, 0),
        ("nan", None, None),
        ("soon", None, None),
        ("inf", float("inf"), float("inf")),
        ("1000000000", 0, 0),
        ("Fri, 01 Jan 1999 00:00:00 GMT", 0, 0),
        ("Fri, 01 Jan 99999 00:00:00 GMT", None, None),
    ],
)
def test_what_servers_send_as_a_time_to_wait(value: str, least: float | None, most: float | None) -> None:
    found = retry_after({"retry-after": value})
    assert found is None if least is None or most is None else found is not None and least <= found <= most


def test_a_unix_time_to_wait_for_is_a_time() -> None:
    found = retry_after({"retry-after": f"{time.time() + 100:.0f}"})
    assert found is not None
    assert 90 < found < 101


def test_times_in_words() -> None:
    assert [wait_in_words(seconds) for seconds in (0.4, 40, 119, 120, 7200, 31536000, float("inf"))] == [
        "0 s", "40 s", "119 s", "2 min", "2 h", "365 days", "forever"
    ]  # fmt: skip
