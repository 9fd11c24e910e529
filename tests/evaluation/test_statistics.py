"""Intervals and result rows."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.evaluation.runner import result_rows
from nsad_cli.evaluation.statistics import wilson
from nsad_cli.types import Chain, Finish, Problem


def test_wilson_against_published_values() -> None:
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=5e-5)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=5e-5)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 2000), st.data())
def test_wilson_holds_the_share_and_mirrors(n: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, n))
    low, high = wilson(right, n)
    assert 0 <= low <= right / n <= high <= 1
    mirrored = wilson(n - right, n)
    assert math.isclose(low, 1 - mirrored[1], abs_tol=1e-9)


def test_rows() -> None:
    problems = [Problem("a", "?", "1", "b"), Problem("b", "?", "2", "b")]
    right = Chain("a", -1, "1", "1", Finish.STOP, (1,), (-1.0,), -1, True)
    wrong = Chain("b", -1, "", None, Finish.LENGTH, (1,), (-1.0,), None, False)
    sampled = [
        Chain("a", 0, "1", "1", Finish.STOP, (1, 1), (-1.0, -1.0), 0, True, 0.5),
        Chain("a", 1, "3", "3", Finish.STOP, (1, 1), (-1.0, -1.0), 1, False, 0.9),
    ]
    unscored = [Chain("b", i, "", None, Finish.STOP, (0,), (-1.0,), None, False) for i in (0, 1)]
    rows = result_rows("b", "nce", problems, {"a": ([right], sampled), "b": ([wrong], unscored)}, 2)
    by_rule = {row["rule"] or row["method"]: row for row in rows}
    assert by_rule["greedy"]["accuracy"] == 0.5 and by_rule["greedy"]["truncated"] == 0.5
    assert by_rule["greedy"]["tokens"] == 2 and by_rule["greedy"]["samples"] == 1
    assert by_rule["asc"]["accuracy"] == 0.0 and by_rule["sc"]["accuracy"] == 0.5 and by_rule["any"]["accuracy"] == 0.5
    assert by_rule["sc"]["unanswered"] == 0.5 and by_rule["sc"]["n"] == 2
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
