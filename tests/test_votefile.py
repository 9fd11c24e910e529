"""Votes over recorded chains: the two public files, one's own format, damage."""

from __future__ import annotations

import json
from pathlib import Path

from nsad_cli.answers.checker import Checker
from nsad_cli.votefile import read_vote_file, vote_results


def share(path: Path, rule: str, checker: Checker) -> float:
    corrupt: list[str] = []
    results = vote_results(list(read_vote_file(path, corrupt.append)), rule, checker)
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
    corrupt: list[str] = []
    problems = list(read_vote_file(path, corrupt.append))
    assert len(problems) == 1 and len(corrupt) == 1 and ":2:" in corrupt[0]
    with Checker() as checker:
        assert [vote_results(problems, rule, checker)[0][2] for rule in ("sc", "asc", "any")] == [False, True, True]
