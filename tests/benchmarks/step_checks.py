"""Step checks on real rationales: coverage, how well the share of right steps ranks, and wrong steps to read.

    NSAD_DATA=… python -m tests.benchmarks.step_checks [--json] [--rationales N] [--show K]

NSAD_DATA holds `tdg` (the paper's rationales) and `gsm8k`. Of each source the first N rationales are read,
spread over its files. The AUC is of the share of right steps against the verdict (right or wrong), over the rationales
with a checked step, and over all of them with the mean share for the others.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import Any

from nsad_cli.grading.checker import Checker
from nsad_cli.grading.step_checks import check_steps
from nsad_cli.grading.verdicts import grade_texts
from nsad_cli.rankers.measurement import auc
from nsad_cli.teachers.recorded import read_gsm8k_solutions, read_tdg
from nsad_cli.types import Finish, Verdict
from tests.benchmarks.report import at_least, data_path, finish

SOURCES = {
    "gpt-3.5 on MATH": ("tdg/GPT3.5-turbo-MATH", read_tdg),
    "gpt-4 on MATH": ("tdg/GPT4-MATH", read_tdg),
    "GPT-3 models on GSM8K": ("gsm8k/example_model_solutions.jsonl", read_gsm8k_solutions),
}


def read(relative: str, reader: Any, count: int) -> list[tuple[str, str]]:
    """The (text, gold answer) of rationales, spread evenly over a source."""
    found = [(text, item.problem.answer) for item in reader(data_path(relative)) for text in item.texts]
    step = max(1, len(found) // count)
    return found[::step][:count]


def measure(count: int, show: int) -> dict[str, Any]:
    """Check the steps of each source's rationales; print `show` wrong steps of each with their context to stderr."""
    figures: dict[str, Any] = {}
    for name, (relative, reader) in SOURCES.items():
        pairs = read(relative, reader, count)
        started = time.process_time()
        checks = [check_steps(text) for text, _ in pairs]
        seconds = time.process_time() - started
        with Checker() as checker:
            grades = grade_texts([(text, gold, Finish.STOP) for text, gold in pairs], checker)
        graded = [
            (check, grade.verdict is Verdict.CORRECT)
            for check, grade in zip(checks, grades, strict=True)
            if grade.verdict in (Verdict.CORRECT, Verdict.WRONG)
        ]
        known = [(check.share, good) for check, good in graded if check.share is not None]
        mean = sum(share for share, _ in known) / max(len(known), 1)
        filled = [(mean if check.share is None else check.share, good) for check, good in graded]
        slips = [check for check, good in graded if good and check.first_wrong]
        figures |= {
            f"{name}: chains with checked steps": at_least(sum(c.checked > 0 for c in checks) / len(checks), None),
            f"{name}: checked steps per chain": at_least(sum(c.checked for c in checks) / len(checks), None),
            f"{name}: AUC, chains with checked steps": at_least(auc([known]) or 0.0, None),
            f"{name}: AUC, all chains": at_least(auc([filled]) or 0.0, None),
            f"{name}: right answers with a wrong step": at_least(len(slips) / max(sum(g for _, g in graded), 1), None),
            f"{name}: wrong answers with a wrong step": at_least(
                sum(c.first_wrong is not None for c, good in graded if not good)
                / max(sum(not g for _, g in graded), 1),
                None,
            ),
            f"{name}: ms per chain": at_least(1000 * seconds / len(checks), None),
        }
        _show([(text, check.first_wrong) for (text, _), check in zip(pairs, checks, strict=True)], name, show)
    return {"figures": figures, "conditions": {"rationales of each source": count}}


def _show(checked: list[tuple[str, tuple[int, int] | None]], name: str, show: int) -> None:
    wrong = [(text, place) for text, place in checked if place is not None]
    for text, (start, end) in random.Random(7).sample(wrong, min(show, len(wrong))):
        around = text[max(0, start - 60) : start] + "⟦" + text[start:end] + "⟧" + text[end : end + 40]
        print(f"{name} | " + " ".join(around.split()), file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.step_checks")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--rationales", type=int, default=4000, help="rationales of each source")
    parser.add_argument("--show", type=int, default=0, help="print this many wrong steps of each source to stderr")
    arguments = parser.parse_args()
    finish(measure(arguments.rationales, arguments.show), arguments.json)
