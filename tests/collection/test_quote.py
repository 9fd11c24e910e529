"""A quote is kept by the collection that follows, sends nothing, and says what it rests on."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import tiktoken

from nsad_cli.collection.budget import Budget, price_of
from nsad_cli.collection.collect import collect
from nsad_cli.collection.quote import Quote, make_quote
from nsad_cli.collection.token_counts import token_counter
from nsad_cli.config.schema import TeacherConfig
from nsad_cli.pipeline.forecast import planned_teacher
from nsad_cli.store.rationales import Store
from nsad_cli.teachers import make_teacher
from nsad_cli.types import Problem, problem_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRICE = {"input": 1.0, "output": 2.0}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Ten tokens for a prompt, five for a draw."""
    port = tmp_path / "port"
    process = subprocess.Popen([sys.executable, "-m", "tests.helpers.faulty_server", str(port), str(tmp_path / "log")])
    while not port.exists():
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port.read_text()}/v1"
    process.kill()
    process.wait()


def problems(count: int) -> list[Problem]:
    return [Problem(problem_id(q), q, "1", "test") for q in (f"question number {i:02}" for i in range(count))]


def quoted(store: Store, asked: list[Problem], **settings: Any) -> Quote:
    """Quote by a recipe's settings, without any key."""
    made = TeacherConfig.model_validate({"prompt": "{question}", "max_tokens": 20, **settings})
    return make_quote(made, planned_teacher(made), asked, store)


def test_the_collection_keeps_to_its_quote(server: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {"spec": "m", "base_url": [server], "draws": 20, "price": PRICE}
    settings = TeacherConfig.model_validate({"prompt": "{question}", "max_tokens": 20, **given})
    teacher, asked = make_teacher("m", settings), problems(10)
    with Store(tmp_path / "store.sqlite") as store:
        first = quoted(store, asked, **given)
        assert (first.draws, first.stored, first.to_ask, first.requests) == (200, 0, 200, 20)
        assert first.completion_tokens is None
        assert first.cost is None
        assert "until a draw is stored" in (first.completions_by)
        assert first.completion_tokens_at_most == 200 * 20
        assert first.prompt_tokens_at_most == 200 * (18 + 7)
        assert first.cost_at_most == pytest.approx(200 * (25e-6 + 40e-6))
        collect(asked[:4], teacher, 20, store)
        second = quoted(store, asked, **given)
        assert (second.stored, second.to_ask, second.requests) == (80, 120, 12)
        assert second.completion_tokens == 120 * 5
        assert "mean of 80 stored draws" in second.completions_by
        assert second.prompt_tokens == 12 * (18 // 3 + 7)
        budget = Budget(price_of(settings), second.cost_at_most, "{question}", 20)
        summary = collect(asked, teacher, 20, store, budget=budget)
        assert summary.new == second.to_ask
        assert not summary.out_of_money
        assert second.cost is not None
        assert second.cost_at_most is not None
        assert budget.spent == pytest.approx(second.cost, rel=0.05)
        assert budget.spent < second.cost_at_most
        third = quoted(store, asked, **given)
        assert (third.to_ask, third.requests, third.cost, third.cost_at_most) == (0, 0, 0, 0)


def test_a_batch_is_half_and_what_it_holds_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nsad_cli.collection.collect import params_key
    from nsad_cli.store.records import UNSENT, Batch

    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    asked = problems(3)
    with Store(tmp_path / "store.sqlite") as store:
        plain, batch = (quoted(store, asked, spec="gpt-4", draws=4, batch=flag) for flag in (False, True))
        assert plain.price is not None
        assert plain.price.input == pytest.approx(30e-6)
        assert batch.cost_at_most == pytest.approx((plain.cost_at_most or 0) / 2)
        assert batch.price is not None
        assert "half" in batch.price.source
        held = [(asked[0].id, number) for number in range(3)]
        key = params_key(planned_teacher(TeacherConfig(spec="gpt-4", prompt="{question}", max_tokens=20)))
        store.batches.add(Batch(UNSENT + "x", (), "h:1:1.0", 0.0), "gpt-4", key, "u", held)
        left = quoted(store, asked, spec="gpt-4", draws=4, batch=True)
        assert (left.in_batches, left.to_ask, left.stored, left.draws) == (3, 9, 0, 12)


def test_draws_that_go_on_cost_more_at_most(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        plain = quoted(store, problems(3), spec="gpt-4", draws=2)
        more = quoted(store, problems(3), spec="gpt-4", draws=2, until={"max_draws": 8})
    assert (more.to_ask, more.to_ask_at_most, plain.to_ask_at_most) == (6, 24, 6)
    assert more.cost_at_most == pytest.approx(4 * (plain.cost_at_most or 0))


def test_prices_one_by_one_unknown_and_none(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        mixed = quoted(store, problems(1), spec="gpt-4", price={"input": 1})
        assert mixed.price is not None
        assert mixed.price.input == pytest.approx(1e-6)
        assert mixed.price.output == pytest.approx(60e-6)
        assert "and genai-prices" in mixed.price.source
        for settings in ({"spec": "a-model-of-nobody"}, {"spec": "gpt-4", "base_url": ["http://localhost:9"]}):
            unknown = quoted(store, problems(1), **settings)
            assert (unknown.price, unknown.cost, unknown.cost_at_most) == (None, None, None)
            assert unknown.requests == 1
        half = quoted(store, problems(1), spec="a-model-of-nobody", price={"output": 2})
        assert half.price is None, "a price that is half unknown is unknown"
        free = quoted(store, problems(1), spec="arithmetic", price={"input": 1, "output": 1})
        assert (free.to_ask, free.requests, free.cost_at_most) == (8, 0, 0)


def test_tokens_are_counted_where_the_encoding_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = {bytes([i]): i for i in range(256)} | {b"an": 256, b"ana": 257}
    own = tiktoken.Encoding("own", pat_str=r"\w+|\W+", mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 258})
    monkeypatch.setattr(tiktoken, "encoding_for_model", lambda _: own)
    count, how = token_counter("gpt-4")
    assert count("banana") == 3
    assert count("<|endoftext|>") == 13
    assert "tiktoken's own" in how

    def fails(_: str) -> Any:
        raise OSError("no network")

    monkeypatch.setattr(tiktoken, "encoding_for_model", fails)
    count, how = token_counter("gpt-4")
    assert count("naïve") == 2
    assert count("") == 0
    assert "3 bytes" in how


def test_an_encoding_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsad_cli.collection.token_counts.TOKENIZER_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(tiktoken, "encoding_for_model", lambda _: time.sleep(5))
    started = time.monotonic()
    assert "estimated" in token_counter("gpt-4")[1]
    assert time.monotonic() - started < 3
