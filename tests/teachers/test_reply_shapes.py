"""Replies as servers return them today: what is stored of each, and what is refused at the first reply."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.collection.budget import Budget, price_of
from nsad_cli.collection.collect import CollectSummary, collect
from nsad_cli.config.schema import PriceConfig, TeacherConfig
from nsad_cli.errors import NsadError
from nsad_cli.grading.checker import Checker
from nsad_cli.grading.grade import grade
from nsad_cli.pipeline.collect_stage import keep_labels
from nsad_cli.store.rationales import Store
from nsad_cli.teachers import make_teacher
from nsad_cli.types import Draw, Finish
from tests.helpers.faulty_servers import FaultyServer, faulty_servers
from tests.helpers.notes import recorded_notes
from tests.helpers.questions import numbered_problems

if TYPE_CHECKING:
    from pathlib import Path

THOUGHT = "<think>\nLet me see.\n</think>\n\n"


def settings(server: FaultyServer, **more: Any) -> TeacherConfig:
    return TeacherConfig.model_validate({"base_url": [server.url], "prompt": "{question}", "concurrency": 1} | more)


def collected(kind: str, folder: Path, problems: int = 1, draws: int = 1, **more: Any) -> tuple[list[Draw], int]:
    """The draws that are stored of a server whose replies are all of one kind, and the requests it got."""
    with faulty_servers(folder, ("--only", kind)) as (server,), Store(folder / "store.sqlite") as store:
        try:
            collect(numbered_problems(problems), make_teacher("m", settings(server, **more)), draws, store)
        finally:
            found = [item.draw for item in store.verdicts.ungraded("none")]
            requests = sum(line[0] == "came" for line in server.lines())
    return found, requests


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("reasoning_content", THOUGHT),
        ("reasoning", f"{THOUGHT}It is 4."),
        ("both", f"{THOUGHT}It is 4."),
        ("tagged", "<think>Let me see.</think>It is 4."),
        ("parts", "It is 4."),
        ("thinking parts", f"{THOUGHT}It is 4."),
    ],
)
def test_what_a_model_thought_is_stored_before_its_answer(kind: str, text: str, tmp_path: Path) -> None:
    (draw,), requests = collected(kind, tmp_path)
    assert (draw.text, draw.finish, draw.completion_tokens, requests) == (text, Finish.STOP, 5, 1)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("tool call", "the model called the tool `sum` instead of answering"),
        ("empty", r"an empty reply \(finish reason stop\)"),
    ],
)
@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_server_without_rationales_is_refused_at_its_first_replies(
    concurrency: int, kind: str, reason: str, tmp_path: Path
) -> None:
    """What it cost is charged."""
    with faulty_servers(tmp_path, ("--only", kind)) as (server,), Store(tmp_path / "store.sqlite") as store:
        chosen = settings(server, concurrency=concurrency, price=PriceConfig(input=1, output=2))
        budget = Budget(price_of(chosen), None, chosen.prompt, chosen.max_tokens)
        with pytest.raises(NsadError, match=f"returns no rationale: {reason}"):
            collect(numbered_problems(50), make_teacher("m", chosen), 4, store, budget=budget)
        requests = sum(line[0] == "came" for line in server.lines())
    assert requests == concurrency, "those in flight when the first reply came"
    assert budget.spent == pytest.approx(requests * (10 + 2 * 4 * 5) / 1e6)


@pytest.mark.parametrize("kind", ["tool call", "empty"])
def test_one_of_two_servers_without_rationales_is_dropped(kind: str, tmp_path: Path) -> None:
    notes = recorded_notes()
    with (
        faulty_servers(tmp_path, ("--only", kind), ("--latency", "0.05")) as (bad, good),
        Store(tmp_path / "store.sqlite") as store,
    ):
        chosen = settings(good, base_url=[bad.url, good.url], concurrency=4)
        summary = collect(numbered_problems(20), make_teacher("m", chosen), 2, store)
    assert (summary.new, summary.failures) == (40, {})
    assert len(notes) == 1
    assert f"{bad.url}/ returns no rationale" in notes[0]


@pytest.mark.parametrize(
    ("kind", "words", "what"),
    [
        ("error 200", "Provider is down", "are not chat completions"),
        ("quota 200", "No credit", "quota is used up"),
    ],
)
def test_the_servers_own_words_at_status_200_reach_the_error(kind: str, words: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(NsadError, match=what) as error:
        collected(kind, tmp_path)
    assert error.value.why == words


def test_the_details_of_a_422_reach_the_failure(tmp_path: Path) -> None:
    with faulty_servers(tmp_path, ("--only", "422")) as (server,), Store(tmp_path / "store.sqlite") as store:
        summary = collect(numbered_problems(1), make_teacher("m", settings(server)), 2, store)
    assert set(summary.failures.values()) == {"the server answered 422: body.max_tokens: must be at most 4"}


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("huge usage", "completion_tokens 1" + 30 * "0"),
        ("10^15 usage", "prompt_tokens 1000000000000000"),
        ("10^400 usage", "completion_tokens 1" + 39 * "0"),
        ("NaN usage", "prompt_tokens nan"),
        ("infinite usage", "completion_tokens inf"),
        ("1e300 usage", "completion_tokens 1e+300"),
        ("text usage", "prompt_tokens 10"),
    ],
)
def test_an_impossible_usage_is_named_once_and_counts_at_the_maximum(kind: str, named: str, tmp_path: Path) -> None:
    notes = recorded_notes()
    with faulty_servers(tmp_path, ("--only", kind)) as (server,), Store(tmp_path / "store.sqlite") as store:
        chosen = settings(server, price=PriceConfig(input=1, output=2), max_cost=1.0, max_tokens=20)
        budget = Budget(price_of(chosen), chosen.max_cost, chosen.prompt, chosen.max_tokens)
        summary = collect(numbered_problems(5), make_teacher("m", chosen), 2, store, budget=budget)
        draws = [item.draw for item in store.verdicts.ungraded("none")]
    assert (summary.new, summary.failures, summary.tokens) == (10, {}, 0)
    assert all((draw.prompt_tokens, draw.completion_tokens) == (0, 0) for draw in draws)
    assert budget.spent == 0
    assert budget.unsure == pytest.approx(sum(2 * budget.max_draw_cost(p.question) for p in numbered_problems(5)))
    assert notes == [f"`m` states an impossible usage ({named}): such replies count at their maximum cost"]


@pytest.mark.parametrize("options", [(), ("--no-n",)])
def test_one_of_identical_samples_is_kept_with_a_warning(options: tuple[str, ...], tmp_path: Path) -> None:
    notes = recorded_notes()
    with (
        faulty_servers(tmp_path, ("--only", "constant", *options)) as (server,),
        Store(tmp_path / "store.sqlite") as store,
    ):
        summary = collect(numbered_problems(3), make_teacher("m", settings(server)), 4, store)
        draws = [item.draw for item in store.verdicts.ungraded("none")]
        assert [draw.index for draw in draws] == [0, 0, 0]
        assert (summary.new, summary.stored, len(summary.constant), summary.failures) == (3, 3, 3, {})
        assert len(notes) == 1
        assert "the samples of 3 problems by `m` are identical" in notes[0]
        cold = make_teacher("m", settings(server, temperature=0))
        assert collect(numbered_problems(3), cold, 4, store).new == 12, "without sampling this is right"


def test_stored_draws_are_left_as_they_are(tmp_path: Path) -> None:
    """Copies among the draws of an earlier command stay; what this command adds is compared with them."""
    with (
        faulty_servers(tmp_path, ("--only", "constant")) as (server,),
        Store(tmp_path / "store.sqlite") as store,
    ):
        teacher = make_teacher("m", settings(server))
        teacher.expects_distinct_samples = False  # type: ignore[attr-defined]  # as in an earlier version
        (problem,) = numbered_problems(1)
        assert collect([problem], teacher, 3, store).new == 3
        summary = collect([problem], make_teacher("m", settings(server)), 5, store)
        assert (summary.new, summary.stored, store.counts()["draws"]) == (0, 3, 3)


def test_a_text_with_both_labels_enters_neither_side(tmp_path: Path) -> None:
    rows = [
        {"prompt": "1+1?", "chosen": "It is 2.", "rejected": "It is 3."},
        {"prompt": "1+1?", "chosen": "It is two.", "rejected": "It is 2."},
        {"prompt": "2+2?", "completion": "4", "label": True},
        {"prompt": "2+2?", "completion": "4", "label": True},
        {"prompt": "3+3?", "completion": "6", "label": True, "answer": "6"},
        {"prompt": "3+3?", "completion": " 6", "label": False, "answer": "6"},
    ]
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    notes = recorded_notes()
    teacher = make_teacher(f"jsonl:{path}", TeacherConfig())
    assert len(notes) == 1
    assert "2 texts are labelled both right and wrong" in notes[0]
    problems = teacher.problems() or []
    with Store(tmp_path / "store.sqlite") as store, Checker() as checker:
        summary = collect(problems, teacher, 8, store, summary=CollectSummary())
        keep_labels(problems, teacher, store)
        grade(store, checker)
        texts = sorted(item.draw.text for item in store.verdicts.ungraded("none"))
        sides = {
            draw.text: store.verdicts.of_teacher(teacher.name, draws_params)[draw.problem_id, draw.index].value
            for draws_params in {row[0] for row in store._db.execute("SELECT params FROM draws")}
            for draw in store.draws(teacher.name, draws_params)
        }
    assert summary.stored == 4
    assert texts == []
    assert sides == {"It is 3.": "wrong", "It is two.": "correct", "4": "correct"}
