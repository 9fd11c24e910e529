"""From chains to rows: every rule, groups, stopping, comparisons."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.evaluation.compare import comparison_rows
from nsad_cli.evaluation.outcomes import outcomes
from nsad_cli.evaluation.report import Measured, report_on, stopping_rows
from nsad_cli.types import Chain, Finish, Problem
from tests.helpers.sampled_chains import group

PROBLEMS = [
    Problem("a", "?", "1", "b", subject="sums", level="1"),
    Problem("b", "?", "2", "b", subject="products", level="1"),
]
RIGHT = Chain("a", -1, "1", "1", Finish.STOP, (1,), (-1.0,), -1, True)
WRONG = Chain("b", -1, "", None, Finish.LENGTH, (1,), (-1.0,), None, False)
SAMPLED = [
    Chain("a", 0, "1", "1", Finish.STOP, (1, 1), (-1.0, -1.0), 0, True, 0.5),
    Chain("a", 1, "3", "3", Finish.STOP, (1, 1), (-1.0, -1.0), 1, False, 0.9),
]
UNSCORED = [Chain("b", i, "", None, Finish.STOP, (0,), (-1.0,), None, False) for i in (0, 1)]
MEASURED = {"a": ([RIGHT], SAMPLED), "b": ([WRONG], UNSCORED)}


def test_rows() -> None:
    report = report_on("b", "nce", PROBLEMS, MEASURED)
    rows = report["results"]
    by_rule = {row["rule"] or row["method"]: row for row in rows}
    assert by_rule["greedy"]["accuracy"] == 0.5
    assert by_rule["greedy"]["truncated"] == 0.5
    assert by_rule["greedy"]["tokens"] == 2
    assert by_rule["greedy"]["samples"] == 1
    assert by_rule["asc"]["accuracy"] == 0.0
    assert by_rule["sc"]["accuracy"] == 0.5
    assert by_rule["any"]["accuracy"] == 0.5
    assert by_rule["sc"]["unanswered"] == 0.5
    assert by_rule["sc"]["n"] == 2
    assert by_rule["sc"]["samples"] == 2
    assert by_rule["mean"]["accuracy"] == 0.25
    assert by_rule["mean"]["method"] == "samples"
    assert set(by_rule) == {"greedy", "sc", "wsc", "asc", "asc-add", "asc-add2", "best", "any", "mean"}
    assert set(rows[0]) == {
        "benchmark",
        "model",
        "method",
        "rule",
        "n",
        "samples",
        "accuracy",
        "ci95",
        "unanswered",
        "truncated",
        "tokens",
    }


def test_stopping_counts_for_as_long_as_no_chain_drawn_has_a_score() -> None:
    agreed = [Chain("a", i, "1", "1", Finish.STOP, (1,), (-1.0,), 1, True, 0.9) for i in range(8)]
    late = [dataclasses.replace(chain, text="", weight=None) for chain in agreed[:2]] + agreed[2:]
    asc = next(row for row in stopping_rows("b", "nce", [late, agreed], 0.95, 1) if row["rule"] == "asc")
    assert asc["same"] == 1.0
    assert asc["accuracy"] == 1.0
    assert 2 < asc["chains"] < 16


def test_groups_are_told_where_there_are_several() -> None:
    groups = report_on("b", "nce", PROBLEMS, MEASURED)["groups"]
    assert {row["by"] for row in groups} == {"subject"}, "there is one level alone"
    greedy = {row["group"]: row for row in groups if row["rule"] is None}
    assert (greedy["sums"]["accuracy"], greedy["products"]["accuracy"]) == (1.0, 0.0)
    assert greedy["sums"]["n"] == 1
    assert greedy["sums"]["ci95"][1] == 1.0


def test_engines_without_likelihoods_have_no_wsc() -> None:
    bare: Measured = {
        key: ([], [dataclasses.replace(c, logprobs=()) for c in both[1]]) for key, both in MEASURED.items()
    }
    report = report_on("b", "nce", PROBLEMS, bare)
    assert {row["rule"] for row in report["results"]} == {"sc", "asc", "asc-add", "asc-add2", "best", "any", "mean"}
    assert {row["rule"] for row in report["stopping"]} == {"sc", "asc", "asc-add", "asc-add2"}


def test_an_empty_chain_needs_no_likelihood() -> None:
    silent = [dataclasses.replace(UNSCORED[0], logprobs=()), UNSCORED[1]]
    report = report_on("b", "nce", PROBLEMS, {"a": ([], SAMPLED), "b": ([], silent)})
    (row,) = [row for row in report["results"] if row["rule"] == "wsc"]
    assert row["accuracy"] == 0.5


def test_rules_that_need_scores_are_told_only_where_every_problem_has_them() -> None:
    said = [dataclasses.replace(chain, text="so 2") for chain in UNSCORED]
    lacking: Measured = {**MEASURED, "b": ([WRONG], said)}
    report = report_on("b", "nce", PROBLEMS, lacking)
    assert {row["rule"] for row in report["results"]} == {None, "sc", "wsc", "any", "mean"}
    assert {row["rule"] for row in report["stopping"]} == {"sc", "wsc"}
    half: Measured = {**MEASURED, "b": ([WRONG], [dataclasses.replace(said[0], weight=0.1), said[1]])}
    assert "asc" not in {row["rule"] for row in report_on("b", "nce", PROBLEMS, half)["results"]}


def test_stopping_by_hand() -> None:
    chains: Measured = {"a": ([], group("a", [1] * 8)), "b": ([], group("b", [2, 2, 2, 2, 1, 1, 1, 1]))}
    (sc,) = [row for row in report_on("b", "nce", PROBLEMS, chains)["stopping"] if row["rule"] == "sc"]
    assert (sc["chains"], sc["of_chains"], sc["tokens"], sc["of_tokens"]) == (8, 16, 24, 48)
    assert sc["same"] == 1.0
    assert sc["accuracy"] == 0.5
    assert sc["stop_at"] == 0.95
    sure: Measured = {key: ([], [dataclasses.replace(c, weight=1.0) for c in both[1]]) for key, both in chains.items()}
    for measured, drawn in ((sure, 6 + 8), (chains, 8 + 8)):
        (waves,) = [r for r in report_on("b", "m", PROBLEMS, measured, 0.95, 3)["stopping"] if r["rule"] == "asc"]
        assert waves["chains"] == drawn, "the second one's chains disagree from the fifth on; light chains tell less"


def test_the_estimates_need_several_chains() -> None:
    found = outcomes([], [group("a", [1, 2, 1, None, 2, 2, 2, 2]), group("b", [2] * 8)])
    assert found["mean"] == [0.25, 0.0]
    assert found["any"] == [1.0, 0.0]
    assert found["pass@2"] == [pytest.approx(1 - 15 / 28), 0.0]
    assert found["pass@4"][0] == pytest.approx(1 - 15 / 70)
    assert "pass@8" not in found
    assert list(found)[-1] == "pass@4", "of all eight it is `any`"


@given(st.lists(st.lists(st.sampled_from([None, 1, 2, 3]), min_size=4, max_size=4), min_size=1, max_size=6))
def test_any_bounds_every_rule(answers: list[list[int | None]]) -> None:
    found = outcomes([], [group(str(i), given) for i, given in enumerate(answers)])
    for rule, values in found.items():
        assert all(0 <= value <= bound for value, bound in zip(values, found["any"], strict=True)), rule
    assert all(m <= p for m, p in zip(found["mean"], found["pass@2"], strict=True))


def test_a_comparison_by_hand() -> None:
    problems = [Problem(str(i), "?", "1", "b") for i in range(8)]
    a = {p.id: ([RIGHT if i < 1 else WRONG], group(p.id, [1, 2])) for i, p in enumerate(problems)}
    b = {p.id: ([WRONG if i < 2 else RIGHT], group(p.id, [1, 1])) for i, p in enumerate(problems)}
    b["7"] = ([], [])
    rows = {row["rule"]: row for row in comparison_rows("b", problems, a, b)}
    greedy = rows[None]
    assert (greedy["n"], greedy["a"], greedy["b"]) == (7, pytest.approx(1 / 7), pytest.approx(5 / 7))
    assert (greedy["only_a"], greedy["only_b"], greedy["p"]) == (1, 5, pytest.approx(2 * (1 + 6) / 64))
    assert greedy["difference"] == pytest.approx(4 / 7)
    assert greedy["ci95"][0] < greedy["bootstrap95"][0] < 4 / 7 < greedy["bootstrap95"][1]
    assert rows["mean"]["difference"] == pytest.approx(0.5)
    assert rows["mean"]["p"] is None
    assert rows["sc"]["samples"] == 2
    assert greedy["samples"] == 1


def test_nothing_in_common_gives_no_row() -> None:
    assert comparison_rows("b", PROBLEMS, {}, MEASURED) == []
