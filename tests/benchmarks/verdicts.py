"""Verdicts on a file of small cases: how many are as expected, and how the others go wrong.

    python -m tests.benchmarks.verdicts FILE [--json] [--show]

FILE has one JSON object a line: `kind`, `gold`, `text`, `finish` (how the sample ended) and `expected` (a list of
verdicts; any of them is right). A verdict `correct` that is not expected would enter D+, a verdict `wrong` that is not
expected would enter D−; any other one costs a rationale but harms no training data. The figures are counts of cases.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from nsad_cli.grading.checker import Checker
from nsad_cli.grading.grade import grader_version
from nsad_cli.grading.verdicts import grade_texts
from nsad_cli.types import Finish, Verdict
from tests.benchmarks.report import at_least, at_most, exit_with_usage_error, finish

MILD_SHARE = 0.02
"""The largest share of the cases that may get a verdict other than `correct` and `wrong` that is not expected."""
OUTCOMES = ("passed", "false_correct", "false_wrong", "mild")


def outcome(verdict: Verdict, expected: list[str]) -> str:
    """Classify a verdict: one of OUTCOMES."""
    if verdict.value in expected:
        return "passed"
    return {Verdict.CORRECT: "false_correct", Verdict.WRONG: "false_wrong"}.get(verdict, "mild")


def measure(path: Path, show: bool = False) -> dict[str, Any]:
    """Grade the cases of a file.

    Args:
        path: The file of cases.
        show: Print the cases whose verdict is not expected to stderr.
    """
    cases = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    with Checker() as checker:
        grades = grade_texts([(case["text"], case["gold"], Finish(case["finish"])) for case in cases], checker)
    outcomes = [outcome(grade.verdict, case["expected"]) for case, grade in zip(cases, grades, strict=True)]
    kinds: dict[str, dict[str, int]] = {}
    for case, grade, found in zip(cases, grades, outcomes, strict=True):
        kinds.setdefault(case["kind"], dict.fromkeys(OUTCOMES, 0))[found] += 1
        if show and found != "passed":
            line = [found, case["kind"], case["gold"], case["text"][-300:], grade.verdict.value, case["expected"]]
            print(json.dumps([*line, grade.answer, grade.reason], ensure_ascii=False), file=sys.stderr)
    counts = Counter(outcomes)
    return {
        "figures": {
            "passed": at_least(counts["passed"], len(cases) - int(MILD_SHARE * len(cases))),
            "false_correct": at_most(counts["false_correct"], 0),
            "false_wrong": at_most(counts["false_wrong"], 0),
            "mild": at_most(counts["mild"], int(MILD_SHARE * len(cases))),
        },
        "conditions": {"file": str(path), "cases": len(cases), "grader": grader_version()},
        "kinds": kinds,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.verdicts")
    parser.add_argument("file", type=Path, help="the cases, as JSON lines")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--show", action="store_true", help="print the cases whose verdict is not expected to stderr")
    arguments = parser.parse_args()
    if not arguments.file.is_file():
        exit_with_usage_error(f"no cases at {arguments.file}", "the file does not exist", "name a file of JSON lines")
    finish(measure(arguments.file, arguments.show), arguments.json)
