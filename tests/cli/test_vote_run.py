"""`nsad vote --run R` and `--explain ID`: a run's votes from the shell."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nsad_cli.cli.main import app
from nsad_cli.errors import NsadError
from nsad_cli.store.chains import ChainStore
from tests.helpers.vote_run import ANSWERS, FIRST, GREEDY, PROBLEMS, SECOND, chains_of, make_run


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "100")
    return make_run(Path(os.environ["NSAD_HOME"]))


def vote(*arguments: str) -> str:
    """What it prints; its error is raised."""
    result = CliRunner().invoke(app, ["vote", *arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def told(*arguments: str) -> NsadError:
    with pytest.raises(NsadError) as error:
        vote(*arguments)
    assert error.value.why
    assert error.value.fix
    return error.value


@pytest.mark.usefixtures("run")
def test_a_problem_explained() -> None:
    shown = vote("--run", "taken", "--explain", "2")
    assert "problem 2 of 5" in shown
    assert PROBLEMS["split"].question in shown
    assert "gold answer: 8" in shown
    assert "✗ 22" in shown
    assert "✓ 8" in shown
    assert "-0.52" in shown
    assert "0.59" in shown
    assert all(f" {rule} " in shown for rule in ("sc", "wsc", "asc", "asc-add", "asc-add2", "best"))
    assert "22 ✗, margin 86%; without chains 0, 1, 4 another answer wins" in shown
    assert f"asc by {FIRST}: 8 ✓" in shown, "the other ranker says otherwise"
    assert "nsad dashboard --view votes --run taken" in shown
    assert (
        vote("--run", "taken", "--explain", "b2b2")
        == shown
        == vote("--run", "taken", "--explain", PROBLEMS["split"].id)
    )
    first = vote("--run", "taken", "--explain", "2", "--samples", "3")
    assert "margin 33%" in first


@pytest.mark.usefixtures("run")
def test_explained_for_programs() -> None:
    value = json.loads(vote("--run", "taken", "--explain", "3", "--json"))
    assert set(value) == {"run", "model", "ranker", "id", "question", "gold", "chains", "rules", "other_rankers"}
    assert value["ranker"] == SECOND
    assert value["gold"] == "6"
    assert len(value["chains"]) == 4
    assert value["chains"][1] == {
        "index": 1, "text": chains_of("lost")[1].text, "answer": "6", "class": 1, "correct": True, "weight": 0.9,
        "logprob": pytest.approx(chains_of("lost")[1].logprob), "tokens": len(chains_of("lost")[1].offsets),
        "steps": {"checked": 0, "right": 0, "first_wrong": None},
    }  # fmt: skip
    rules: dict[str, Any] = value["rules"]
    assert rules["sc"]["answer"] == "12"
    assert rules["sc"]["right"] is False
    assert rules["sc"]["turned_by"] == 1
    assert rules["asc"]["answer"] == "6"
    assert rules["asc"]["flipped_without"] == [1]
    assert rules["asc"]["margin"] == pytest.approx((0.9 - 0.4) / 1.4)
    assert [item["share"] for item in rules["best"]["votes"]] == pytest.approx([0.75, 0.2 / 1.2, 0.1 / 1.2])
    assert value["other_rankers"][FIRST]["answer"] == "12"
    silent = json.loads(vote("--run", "taken", "--explain", "4", "--json"))
    assert silent["rules"]["sc"]["answer"] is None
    assert "no chain has one" in silent["rules"]["asc"]["unavailable"]


def test_a_wrong_step_is_marked(run: Path) -> None:
    text = "3 * 4 = 12. 12 - 2 = 9. \x1b[2J"
    with ChainStore(run / "chains.sqlite") as store:
        store._db._connection.execute("UPDATE chains SET text = ? WHERE number = 1", (text,))
    shown = vote("--run", "taken", "--explain", "2")
    assert "✗ chain 1: checked steps: 1 of 2 right; first wrong: `12 - 2 = 9`" in shown
    assert "✗ 1/2" in shown
    assert "steps: the right ones" in shown
    assert "chain 0: checked" not in shown
    chain = json.loads(vote("--run", "taken", "--explain", "2", "--json"))["chains"][1]
    assert chain["steps"]["checked"] == 2
    assert chain["steps"]["right"] == 1
    start, end = chain["steps"]["first_wrong"]
    assert chain["text"][start:end] == "12 - 2 = 9"


def test_hostile_text_is_shown(run: Path) -> None:
    shown = vote("--run", "taken", "--explain", "5")
    assert not set(shown) & {"\x1b", "\x07", "\u202e"}
    assert "\\x1b[2J" in shown
    assert "[bold red]gone[/]" in shown
    assert "✓ 1/2" in shown
    with ChainStore(run / "chains.sqlite") as store:  # now it stands in a queue
        store._db._connection.execute("UPDATE chains SET answer = NULL, answer_class = NULL")
    shown = vote("--run", "taken")
    assert not set(shown) & {"\x1b", "\x07", "\u202e"}
    assert "no chain has an answer: 5" in shown
    assert "\\x1b[" in shown


@pytest.mark.usefixtures("run")
def test_the_list_by_queue() -> None:
    shown = vote("--run", "taken")
    assert "run taken · nce · 5 problems" in shown
    assert f"ranker {SECOND}" in shown
    assert "sc: 2 of 5 right, 40.0%" in shown
    assert "asc: 2 of 3 right, 66.7%" in shown
    assert "disagree: rules disagree: 1" in shown
    assert "no-answer: no chain has an answer: 1" in shown
    assert "near: margin of 20% or less: none" in shown
    assert "--explain" in shown
    value = json.loads(vote("--run", "taken", "--json"))
    ids = {name: problem.id for name, problem in PROBLEMS.items()}
    assert value["queues"] == {
        "all": list(ids.values()),
        "disagree": [ids["lost"]],
        "gold-loses": [ids["split"]],
        "near": [],
        "no-answer": [ids["silent"]],
    }
    assert value["rule"] == "asc"
    assert value["problems"][0]["rules"]["sc"] == {
        "answer": "12",
        "right": True,
        "margin": pytest.approx(0.5),
    }
    assert len(value["problems"]) == len(ANSWERS)
    by_count = json.loads(vote("--run", "taken", "--rule", "sc", "--json"))
    assert by_count["queues"]["gold-loses"] == [ids["split"], ids["lost"]]
    assert by_count["queues"]["near"] == [ids["split"]]


def test_a_problem_that_only_another_set_has(run: Path) -> None:
    with ChainStore(run / "chains.sqlite") as store:
        store._db._connection.execute(
            "DELETE FROM chains WHERE model = 'nce' AND problem_id = ?", (PROBLEMS["sure"].id,)
        )
        assert store.get(PROBLEMS["sure"].id, **GREEDY)
    assert "base · 5 problems" in vote("--run", "taken", "--explain", "a1a1")


def test_errors(run: Path) -> None:
    assert "FILE or --run" in told().what
    assert "not both" in told("x.jsonl", "--run", "taken").what
    assert "no problem `zz`" in told("--run", "taken", "--explain", "zz").what
    assert "no problem `9`" in told("--run", "taken", "--explain", "9").what
    assert "no run named" in told("--run", "takn").what
    assert "unknown rule" in told("--run", "taken", "--rule", "any").what
    assert "--stop-at" in told("--run", "taken", "--stop-at", "0.9").what
    assert "--samples" in told("--run", "taken", "--samples", "3").what
    with ChainStore(run / "chains.sqlite") as store:
        store._db._connection.execute("UPDATE problems SET id = 'a1' || id WHERE id LIKE 'b2%'")
        store._db._connection.execute("UPDATE chains SET problem_id = 'a1' || problem_id WHERE problem_id LIKE 'b2%'")
    assert "is ambiguous" in told("--run", "taken", "--explain", "a1").what
    for name in run.glob("chains.sqlite*"):
        name.unlink()
    assert "no chains yet" in told("--run", "taken").what
    assert "nsad eval" in told("--run", "taken").fix
    with ChainStore(run / "chains.sqlite"):
        pass
    assert "is empty" in told("--run", "taken", "--explain", "1").why
    (run / "chains.sqlite").write_bytes(b"rubbish" * 1000)
    assert "cannot use the chain store" in told("--run", "taken").what
