"""Votes in studies: rules against counting over seeds, and arms whose cells train a ranker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from nsad_cli.cli.render.study import ranker_lines, votes_tables
from nsad_cli.runs.run import Run
from nsad_cli.study.definition import load_study
from nsad_cli.study.execute import in_order, run_study
from nsad_cli.study.process import at_once
from nsad_cli.study.results import study_results
from nsad_cli.study.votes import Outcomes, ranker_row, vote_rows
from nsad_cli.utils.statistics import mcnemar
from tests.helpers.study_files import study_file

if TYPE_CHECKING:
    from pathlib import Path


def of(values: str, label: str = "x") -> Outcomes:
    return {(label, f"p{place}"): float(value) for place, value in enumerate(values)}


def test_rules_are_compared_with_counting_over_all_seeds() -> None:
    first = {"greedy": of("1000000000"), "sc": of("1100000000"), "asc": of("1111110000"), "any": of("1111111110")}
    second = {"greedy": of("1000000000"), "sc": of("1100000000"), "asc": of("1111000000"), "any": of("1111110000")}
    rows = {row["rule"]: row for row in vote_rows([first, second])}
    assert list(rows) == [None, "sc", "asc", "any"]
    assert rows["asc"]["by_seed"] == [0.6, 0.4]
    assert rows["asc"]["accuracy"] == pytest.approx(0.5)
    assert rows["asc"]["difference"] == pytest.approx(0.3)
    assert rows["asc"]["gap_closed"] == pytest.approx(0.3 / (0.75 - 0.2))
    assert rows["asc"]["p"] == pytest.approx(2 / 2**4), "four problems, which all point in one direction"
    assert rows["sc"]["p"] is rows["any"]["p"] is rows["any"]["gap_closed"] is None
    assert rows[None]["difference"] == pytest.approx(-0.1)
    assert rows[None]["gap_closed"] is None
    (alone,) = (row for row in vote_rows([first]) if row["rule"] == "asc")
    assert alone["p"] == pytest.approx(mcnemar(0, 4))


def test_only_what_all_seeds_have_is_compared() -> None:
    first = {"greedy": of("11"), "sc": of("110"), "wsc": of("110"), "any": of("111")}
    second = {"greedy": of("11"), "sc": of("01"), "any": of("11")}
    rows = vote_rows([first, second])
    assert [row["rule"] for row in rows] == [None, "sc", "any"]
    assert {row["n"] for row in rows} == {2}
    assert vote_rows([]) == []
    assert vote_rows([{"greedy": of("1")}]) == []
    assert vote_rows([{"sc": of("1"), "any": of("1")}, {"sc": of("1", "y"), "any": of("1", "y")}]) == []


def test_a_ranker_that_was_not_measured_is_said_to_be() -> None:
    row = ranker_row({"kind": "head"})
    assert row == {"kind": "head", "pair_accuracy": None, "pairs": None, "refused": None}
    measured = {"measured": {"pair_accuracy": {"value": 0.9, "pairs": 40}}, "refused": None}
    row["run"] = "s.a.0"
    known = {**ranker_row({"kind": "steps", "ranking": measured}), "refused": "it ranks badly"}
    cells = [{"run": "s.a.0", "ranker": row}, {"run": "s.a.1", "ranker": known}, {"run": "s.b.0", "ranker": None}]
    assert ranker_lines({"cells": cells}) == [
        "ranker of s.a.0 (head): not measured",
        "ranker of s.a.1 (steps): ranks 90.0% of 40 pairs rightly; refused: it ranks badly",
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_cells_train_a_ranker_for_its_rules(tiny_llama: Path, tmp_path: Path, jobs: int) -> None:
    arms: dict[str, Any] = {"nce": None, "again": {"model": "nce"}}
    path = study_file(tmp_path, tiny_llama, arms, seeds=2, rule="asc")
    study = load_study(str(path), overrides={"evaluation.samples": 2, "training.ranker.kind": "steps"})
    cells, failures = run_study(study, in_order if jobs == 1 else at_once(jobs))
    assert not failures
    result = study_results(study, cells, failures)
    assert result["rule"] == "asc"
    for arm in result["arms"]:
        rules = [row["rule"] for row in arm["votes"]]
        assert {"sc", "asc", "any", None} <= set(rules)
        (asc,) = (row for row in arm["votes"] if row["rule"] == "asc")
        assert asc["accuracy"] == arm["accuracy"], "the study's rule"
    for row in result["cells"]:
        assert row["ranker"]["kind"] == "steps"
        assert Run.open(row["run"]).done("ranker", Run.open(row["run"]).stages()["ranker"]["key"])
        assert "ranker" not in row["tokens"], "the ranker is no part of the model's budget"
    copied = [row["copied"].get("ranker") for row in result["cells"]]
    assert sorted(map(str, copied))[:2] == ["None", "None"], "of two cells of a seed, one trains the ranker"
    assert len({name for name in copied if name}) == 2, "and the other one copies it"
    assert len(ranker_lines(result)) == 4
    for width in (40, 80, 120):
        console = Console(width=width, record=True, file=None, force_terminal=False)
        with console.capture() as printed:
            for table in votes_tables(result):
                console.print(table)
        assert "asc" in printed.get()
        assert max(map(len, printed.get().splitlines())) <= width
