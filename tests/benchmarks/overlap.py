"""How long it takes to hold MATH's training problems against its test problems, and that it is linear.

    NSAD_DATA=… python -m tests.benchmarks.overlap [--json]

NSAD_DATA holds tdg/GPT3.5-turbo-MATH and math/test.jsonl.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from nsad_cli.config.schema import TeacherConfig
from nsad_cli.problems import load_problems
from nsad_cli.problems.ngram_overlap import find_overlaps
from nsad_cli.teachers import make_teacher
from tests.benchmarks.report import at_most, data_path, finish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.types import Problem


def seconds(training: Sequence[Problem], evaluation: Sequence[Problem]) -> float:
    """The best of three."""
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        find_overlaps(training, evaluation)
        best = min(best, time.perf_counter() - started)
    return best


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.overlap", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    solved, tests = data_path("tdg/GPT3.5-turbo-MATH"), data_path("math/test.jsonl")
    training = make_teacher(f"tdg:{solved}", TeacherConfig()).problems() or []
    evaluation = load_problems(f"math:test@{tests}")
    whole = seconds(training, evaluation)
    half = seconds(training[::2], evaluation[::2])
    figures = {
        "seconds_for_math": at_most(whole, 5),
        "both_sets_doubled": at_most(whole / half, 2.5),
    }
    found = find_overlaps(training, evaluation)
    conditions = {
        "training": len(training),
        "evaluation": len(evaluation),
        "overlaps": len(found),
        **{test: sum(test in item.tests for item in found) for test in ("same", "words", "numbers")},
    }
    finish({"figures": figures, "conditions": conditions}, arguments.json)


if __name__ == "__main__":
    main()
