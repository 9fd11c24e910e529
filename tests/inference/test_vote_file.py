"""Votes over recorded chains: the two public files, one's own format, damage."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.errors import UsageError
from nsad_cli.grading.checker import Checker
from nsad_cli.inference.vote_file import read_vote_file, stopped_early, vote_results
from nsad_cli.utils.logprobs import log_probability
from tests.helpers.notes import recorded_notes

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.types import Chain, Problem


def share(path: Path, rule: str, checker: Checker) -> float:
    corrupt = recorded_notes()
    results = vote_results(list(read_vote_file(path)), rule, checker)
    assert corrupt == []
    return sum(right for _, _, right in results) / len(results)


def test_scored_math_chains(data: Path) -> None:
    with Checker() as checker:
        found = {
            rule: share(data / "votes" / "qwen25_math_cot_100.jsonl", rule, checker)
            for rule in ("sc", "asc", "best", "any")
        }
    assert found == {"sc": 0.93, "asc": 0.94, "best": 0.94, "any": 0.96}


def test_text_answers(data: Path) -> None:
    with Checker() as checker:
        assert share(data / "votes" / "gpt35_last_letters_40.jsonl", "sc", checker) > 0.5


def test_ones_own_chains_and_a_corrupt_line(tmp_path: Path) -> None:
    path = tmp_path / "chains.jsonl"
    row = {
        "id": "x",
        "gold": "1/2",
        "chains": [
            {"text": "", "answer": "0.5", "weight": 0.9, "logprob": -0.1},
            {"text": "The answer is 3.", "weight": 0.2},
            {"text": "", "answer": "3", "weight": 0.3, "logprob": -2},
        ],
    }
    path.write_text(json.dumps(row) + '\n{"id": "y"}\n')
    corrupt = recorded_notes()
    problems = list(read_vote_file(path))
    assert len(problems) == 1
    assert len(corrupt) == 1
    assert ":2:" in corrupt[0]
    with Checker() as checker:
        assert [vote_results(problems, rule, checker)[0][2] for rule in ("sc", "asc", "any")] == [False, True, True]


def read(path: Path, *rows: dict[str, Any]) -> tuple[list[tuple[Problem, list[Chain]]], list[str]]:
    """What is read of these lines, and what is told."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = recorded_notes()
    return list(read_vote_file(path)), told


SEVEN = {"text": "The answer is 7."}


def test_a_problem_without_gold_is_named_and_left_out(tmp_path: Path) -> None:
    problems, told = read(
        tmp_path / "v.jsonl",
        {"id": "a", "gold": None, "chains": [SEVEN]},
        {"question": "q?", "generated_answer": "The answer is 7.", "answer": "7"},
        {"question": "q2?", "generated_answer": ["The answer is 7."], "answer": None},
        {"question": "q3?", "pred": ["7"], "pred_score": [0.1]},
        {"question": "q4?", "pred": "7", "pred_score": 0.1, "gt": 7},
    )
    assert [[len(chains), problem.answer] for problem, chains in problems] == [[1, "7"], [1, "7"]]
    assert problems[0][1][0].answer == "7"
    assert problems[1][1][0].weight == 0.1
    assert [line.split(":")[1] for line in told] == ["1", "3", "4"]
    assert all("no gold answer" in line for line in told)


def test_an_id_that_comes_again_is_told(tmp_path: Path) -> None:
    problems, told = read(tmp_path / "v.jsonl", *[{"id": "a", "gold": "7", "chains": [SEVEN]}] * 2)
    assert len(problems) == 2
    assert len(told) == 1
    assert "v.jsonl:2: `a` is on line 1 too" in told[0]


@pytest.mark.parametrize("logprob", [math.nan, 1000, math.inf, -math.inf, 0.5, "-1", True])
def test_what_is_no_log_probability_never_meets_a_vote(tmp_path: Path, logprob: Any) -> None:
    said = [{"answer": "3", "logprob": -0.1}, {"answer": "7", "logprob": -0.1}, {"answer": "7", "logprob": logprob}]
    problems, told = read(tmp_path / "v.jsonl", {"id": "prob", "gold": "7", "chains": said})
    assert len(told) == 1
    assert ":1: `logprob` is not a number" in told[0]
    assert [chain.logprob for chain in problems[0][1]] == [-0.1, -0.1, None]
    with Checker() as checker:
        assert vote_results(problems, "sc", checker)[0][2]
        with pytest.raises(UsageError, match="log-probabilities") as raised:
            vote_results(problems, "wsc", checker)
    assert "`prob`" in raised.value.why
    assert "chain 2" in raised.value.why


def test_log_probabilities() -> None:
    assert [log_probability(value) for value in (-0.5, 0, 0.004, -9999.0)] == [-0.5, 0.0, 0.0, -9999.0]
    assert {log_probability(value) for value in (None, math.nan, math.inf, -math.inf, 0.1, "0", True)} == {None}


def test_problems_without_chains_or_scores_are_counted_and_told(tmp_path: Path) -> None:
    problems, _ = read(
        tmp_path / "v.jsonl",
        {"id": "a", "gold": "7", "chains": [{**SEVEN, "weight": 0.5}]},
        {"id": "b", "gold": "7", "chains": []},
        {"id": "c", "gold": "7", "chains": [SEVEN, SEVEN]},
    )
    told = recorded_notes()
    with Checker() as checker:
        results = vote_results(problems, "asc", checker)
        assert [right for _, _, right in results] == [True, False, True]
        assert told[0].startswith("1 of 3 problems have no chain with a score")
        assert "no chains" in told[1]
        assert stopped_early(results, 0.95, 1, "asc") == {"right": 2, "chains": 1.0, "same": 1.0}
        empty = vote_results(problems[1:2], "asc", checker)
        assert stopped_early(empty, 0.95, 1, "asc") == {"right": 0, "chains": 0.0, "same": 1.0}
        with pytest.raises(UsageError, match="needs scores"):
            vote_results(problems[1:], "asc", checker)


@pytest.mark.parametrize(
    "weight", ["1" + 400 * "0", "-1" + 400 * "0", "1e200", "NaN", "Infinity", '"1e999"', "[0.5, 1e999]"]
)
@pytest.mark.parametrize("rule", ["asc", "asc-add", "asc-add2", "best", "sc"])
def test_a_score_beyond_all_bounds_is_named_and_ignored(weight: str, rule: str, tmp_path: Path) -> None:
    """The other chains decide, and other problems are counted."""
    chains = (
        f'{{"answer": "7", "weight": {weight}}}, {{"answer": "4", "weight": 0.9}}, {{"answer": "4", "weight": 0.8}}'
    )
    lines = [f'{{"id": "{i}", "gold": "4", "chains": [{chains}]}}' for i in range(2)]
    path = tmp_path / "votes.jsonl"
    path.write_text("\n".join(lines))
    notes = recorded_notes()
    with Checker() as checker:
        results = vote_results(list(read_vote_file(path)), rule, checker)
    assert [right for _, _, right in results] == [True, True]
    assert [line.partition(": ")[2] for line in notes] == [
        "the score is NaN, infinite or beyond ±1e+100 in 1 of its chains; ignored"
    ] * 2


def test_a_log_probability_beyond_all_bounds_is_named_and_ignored(tmp_path: Path) -> None:
    path = tmp_path / "votes.jsonl"
    huge = "-1" + 400 * "0"
    path.write_text(f'{{"id": "1", "gold": "4", "chains": [{{"answer": "4", "logprob": {huge}}}]}}')
    notes = recorded_notes()
    ((_, (chain,)),) = read_vote_file(path)
    assert chain.logprob is None
    assert len(notes) == 1
