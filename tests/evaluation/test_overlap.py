"""The overlap of what two models solve, against counts made by hand."""

from __future__ import annotations

from nsad_cli.evaluation.grouping import grouped
from nsad_cli.evaluation.overlap import overlap_rows
from nsad_cli.types import Problem

PROBLEMS = [
    Problem(f"p{i}", f"question {i}", "1", "math", subject="Geometry" if i % 3 == 2 else "Algebra", level=f"{i % 2}")
    for i in range(7)
]


def values(marks: str) -> dict[str, float]:
    """Outcomes of the first problems: + for a solved one, . for one without an answer."""
    return {f"p{i}": float(mark == "+") for i, mark in enumerate(marks) if mark != "."}


def test_both_either_and_their_ratio_by_subject() -> None:
    # Algebra: 0, 1, 3, 4, 6; Geometry: 2, 5
    rows = overlap_rows("math", PROBLEMS, "greedy", values("++-+-+-"), values("+---++-"), "subject")
    assert [row["group"] for row in rows] == ["Algebra", "Geometry", None]
    algebra, geometry, total = rows
    assert {key: algebra[key] for key in ("n", "a", "b", "both", "either")} == {
        "n": 5, "a": 3, "b": 2, "both": 1, "either": 4}  # fmt: skip
    assert algebra["iou"] == 0.25
    assert (algebra["only_a"], algebra["only_b"], algebra["p"]) == (2, 1, 1.0)
    assert (geometry["a"], geometry["b"], geometry["both"], geometry["iou"]) == (1, 1, 1, 1.0)
    assert (total["n"], total["both"], total["either"], total["iou"]) == (7, 2, 5, 0.4)
    assert total["rule"] is None


def test_an_empty_intersection_is_zero_and_nothing_solved_has_no_ratio() -> None:
    (total,) = overlap_rows("math", PROBLEMS, "sc", values("++-----"), values("--+++--"), None)
    assert (total["both"], total["either"], total["iou"], total["rule"]) == (0, 5, 0.0, "sc")
    assert (total["only_a"], total["only_b"], total["p"]) == (2, 3, 1.0)
    (none,) = overlap_rows("math", PROBLEMS, "greedy", values("-------"), values("-------"), None)
    assert (none["either"], none["iou"], none["p"]) == (0, None, 1.0)


def test_only_problems_that_both_have_answered_count() -> None:
    (total,) = overlap_rows("math", PROBLEMS, "greedy", values("+++...."), values(".++++++"), None)
    assert (total["n"], total["a"], total["b"], total["both"]) == (2, 2, 2, 2)
    assert overlap_rows("math", PROBLEMS, "greedy", values("+"), values(".+"), "level") == []


def test_one_group_is_the_total_alone() -> None:
    assert [name for name, _ in grouped(PROBLEMS, "level")] == ["0", "1", None]
    assert [name for name, _ in grouped(PROBLEMS[:2], "subject")] == [None]
    assert [len(members) for _, members in grouped(PROBLEMS, None)] == [7]
