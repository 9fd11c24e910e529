"""training.drop_wrong_steps: right rationales with a wrong step are kept out of D+, everywhere that D+ is read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from nsad_cli.cli.main import app
from nsad_cli.config.schema import Recipe
from nsad_cli.config.validation import validate_recipe
from nsad_cli.errors import NsadError
from nsad_cli.pipeline import step_filter
from nsad_cli.pipeline.collect_stage import graded_rationales
from nsad_cli.pipeline.forecast import look_ahead
from nsad_cli.pipeline.pipeline import Pipeline, run_stages
from nsad_cli.runs.run import Run
from tests.helpers.notes import recorded_notes

if TYPE_CHECKING:
    from pathlib import Path

GOOD, SLIP, BAD = "5 * 4 = 20. The answer is 20.", "5 * 4 = 24. The answer is 20.", "5 * 4 = 24. The answer is 24."


@pytest.fixture(autouse=True)
def _fresh_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_filter, "_noted", set())


def make_run(path: Path, texts: list[str], *, drop: bool, graded: bool = True, name: str = "one") -> Run:
    """A run whose teacher is a file with these solutions of each of four problems."""
    rows = [{"question": f"Ana has {n} bags. How many?", "answer": "20", "generated_answer": texts} for n in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    training = {"drop_wrong_steps": drop, "ranker": {"split": 0}}
    recipe = validate_recipe({"teacher": {"spec": f"jsonl:{path}", "draws": 8}, "training": training}, "test")
    run = Run.create(name, recipe)
    run_stages(run, ["collect", "grade"] if graded else ["collect"])
    return run


def test_they_are_kept_by_default(tmp_path: Path) -> None:
    assert Recipe().training.drop_wrong_steps is False
    positive, negative = graded_rationales(make_run(tmp_path / "a.jsonl", [GOOD, SLIP, BAD], drop=False))
    assert [item.text for item in positive] == [GOOD, SLIP] * 4
    assert [item.text for item in negative] == [BAD] * 4


def test_they_are_dropped_with_a_note(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a.jsonl", [GOOD, SLIP, BAD, GOOD], drop=True)
    notes = recorded_notes()
    corpora = [Pipeline(run).corpus() for _ in range(2)]
    for corpus in corpora:
        assert [item.text for item in corpus.positive] == [GOOD, GOOD] * 4
        assert [item.text for item in corpus.negative] == [BAD] * 4, "D− is untouched"
    found = [note for note in notes if "wrong step" in note]
    assert found == [
        "4 of 12 right rationales are kept out of D+: they have a wrong step (training.drop_wrong_steps)"
    ], "once, not for every stage"


def test_the_setting_changes_the_corpus_and_only_then_its_key(tmp_path: Path) -> None:
    keys = {}
    for name, texts in (("with", [GOOD, SLIP, BAD]), ("without", [GOOD, BAD])):
        for drop in (False, True):
            run = make_run(tmp_path / f"{name}.jsonl", texts, drop=drop, name=f"{name}-{drop}")
            keys[name, drop] = Pipeline(run).corpus().key
    assert keys["with", False] != keys["with", True]
    assert keys["without", False] == keys["without", True]


def test_a_d_plus_of_wrong_steps_alone_is_an_error_of_three_lines(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a.jsonl", [SLIP, BAD], drop=True)
    with pytest.raises(NsadError) as error:
        Pipeline(run).corpus()
    assert error.value.what == "D+ (right rationales) is empty"
    assert error.value.why == "all 4 have a wrong step, and training.drop_wrong_steps keeps them out"
    assert "drop_wrong_steps=false" in error.value.fix
    done = CliRunner().invoke(app, ["train-nat", "--run", "one"])
    assert isinstance(done.exception, NsadError)
    assert done.exception.what == error.value.what, "before the student is loaded"


def test_a_d_plus_that_is_empty_anyway_is_another_error(tmp_path: Path) -> None:
    assert graded_rationales(make_run(tmp_path / "a.jsonl", [BAD], drop=True))[0] == []


@pytest.mark.parametrize("graded", [False, True])
def test_a_plan_counts_without_them(tmp_path: Path, graded: bool) -> None:
    run = make_run(tmp_path / "a.jsonl", [GOOD, SLIP, BAD], drop=True, graded=graded)
    forecast = look_ahead(run).forecast
    assert [item.text for item in forecast.positive] == [GOOD] * 4
    assert len(forecast.negative) == 4


def test_stats_and_grade_count_them(tmp_path: Path) -> None:
    make_run(tmp_path / "a.jsonl", [GOOD, SLIP, BAD], drop=False)
    for command in (["stats", "--run", "one", "--json"], ["grade", "--run", "one", "--json"]):
        value = json.loads(CliRunner().invoke(app, command).stdout)
        rows = value["ledger"] if command[0] == "stats" else value["rows"]
        assert {row["verdict"]: (row["draws"], row["right_with_wrong_step"]) for row in rows} == {
            "correct": (8, 4),
            "wrong": (4, 0),
        }
    assert "4 of 8 right answers have a wrong step (50.0%)" in CliRunner().invoke(app, ["stats", "--run", "one"]).stdout
