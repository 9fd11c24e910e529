"""Verdicts on real rationales."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING

import pytest

from nsad_cli.grading.checker import Checker
from nsad_cli.grading.equivalence.decide import decide
from nsad_cli.grading.equivalence.decision import Decision
from nsad_cli.grading.verdicts import grade_texts
from nsad_cli.teachers.recorded import SOLVERS
from nsad_cli.types import Finish, Verdict
from nsad_cli.utils.latex import last_boxed

if TYPE_CHECKING:
    from pathlib import Path


def test_agrees_with_is_correct_on_all_gsm8k_solutions(data: Path) -> None:
    lines = (data / "gsm8k" / "example_model_solutions.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    items = [
        (row[solver]["solution"], row["ground_truth"].rpartition("A:")[2].strip(), Finish.STOP)
        for row in rows
        for solver in SOLVERS
    ]
    expected = [row[solver]["is_correct"] for row in rows for solver in SOLVERS]
    with Checker() as checker:
        judged = grade_texts(items, checker)
    assert len(items) == 5276
    assert [item.verdict is Verdict.CORRECT for item in judged] == expected


@pytest.mark.slow
def test_no_gpt4_chain_that_ends_in_the_right_answer_is_wrong(data: Path) -> None:
    items = []
    for path in sorted((data / "tdg" / "GPT4-MATH").rglob("*.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            gold = last_boxed(row["answer"]) or ""
            items += [(text, gold, Finish.STOP) for text in row["generated_answer"]]
    assert len(items) == 30_544
    said = re.compile(r"[Tt]he answer is:?\s*(.+?)\.?\s*$", re.DOTALL)
    ends_right = [
        item
        for item in items
        if (found := said.search(item[0])) and decide(found[1].strip().strip("$. "), item[1]) is Decision.EQUAL
    ]
    assert len(ends_right) > 1_500
    sample = random.Random(0).sample(items, 3_000)
    with Checker() as checker:
        judged = grade_texts([*ends_right, *sample], checker)
    assert Verdict.WRONG not in {item.verdict for item in judged[: len(ends_right)]}
    counts = {verdict: sum(item.verdict is verdict for item in judged[len(ends_right) :]) for verdict in Verdict}
    assert counts[Verdict.CORRECT] > 0.65 * len(sample)
    assert counts[Verdict.TIMEOUT] < 0.01 * len(sample)
