"""Grading of GPT-3.5's and GPT-4's rationales for MATH against math-verify, called serially on every distinct pair.

    NSAD_DATA=… python -m tests.benchmarks.grading [--json] [--sample 3000] [--seconds 5]

NSAD_DATA holds tdg/GPT3.5-turbo-MATH and tdg/GPT4-MATH. A pair is an answer read from a rationale and the gold answer.
A seeded sample of the distinct ones, the same share of each file, is decided twice: by math-verify in this process
with its own time limit, and by our checker, cheap deciders and processes; imports and the processes' start are not
counted. A disagreement is a pair that both decide, differently; known_disagreements.py lists those in which math-verify
is wrong. What only math-verify decides is counted apart: an answer of two senses is no wrong one.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
import time
from collections import Counter
from typing import Any

from nsad_cli.config.schema import TeacherConfig
from nsad_cli.grading.checker import Checker, Equivalence
from nsad_cli.grading.equivalence.decide import decide
from nsad_cli.grading.equivalence.decision import Decision
from nsad_cli.grading.extract import extract
from nsad_cli.teachers import make_teacher
from tests.benchmarks.known_disagreements import reason
from tests.benchmarks.report import at_least, at_most, data_path, finish

FILES = {"GPT-3.5": "GPT3.5-turbo-MATH", "GPT-4": "GPT4-MATH"}


def rationales(name: str) -> list[tuple[str, str]]:
    """Every rationale of a file with its gold answer."""
    teacher: Any = make_teacher(f"tdg:{data_path(f'tdg/{FILES[name]}')}", TeacherConfig())
    return [(text, problem.answer) for problem in teacher.problems() for text in teacher._rationales[problem.id]]


def distinct_pairs(name: str) -> list[tuple[str, str]]:
    """The distinct pairs of an answer and a gold answer, sorted."""
    found = {(extract(text, gold).answer, gold) for text, gold in rationales(name) if gold.strip()}
    return sorted((answer, gold) for answer, gold in found if answer is not None)


def serial(pairs: list[tuple[str, str]], seconds: int) -> list[bool | None]:
    """math-verify on one pair after another; None where it reads one of the two answers as nothing, or is too slow."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    logging.disable(logging.CRITICAL)
    sys.set_int_max_str_digits(2000)
    configs = [LatexExtractionConfig(), ExprExtractionConfig()]
    found: list[bool | None] = []
    for answer, gold in pairs:
        try:
            x = parse(f"${answer}$", configs, parsing_timeout=seconds)
            y = parse(f"${gold}$", configs, parsing_timeout=seconds)
            found.append(bool(verify(y, x, timeout_seconds=seconds)) if x and y else None)
        except Exception:  # as in our worker: what sympy stumbles over is not readable for it
            found.append(None)
    logging.disable(logging.NOTSET)
    return found


def measure(sample: int, seconds: int) -> dict[str, Any]:
    """Both on the sample."""
    every = {name: distinct_pairs(name) for name in FILES}
    share = min(1.0, sample / sum(map(len, every.values()))) if sample else 1.0
    random_ = random.Random(0)
    pairs = [pair for name in FILES for pair in random_.sample(every[name], round(share * len(every[name])))]
    random_.shuffle(pairs)
    serial([("x+1", "1+x")], seconds)
    print(f"math-verify on {len(pairs)} pairs …", file=sys.stderr)
    started = time.perf_counter()
    theirs = serial(pairs, seconds)
    their_time = time.perf_counter() - started
    print("ours …", file=sys.stderr)
    with Checker(seconds=seconds) as checker:
        checker.equivalent([(rf"\log x + {n}", rf"{n} + \log x") for n in range(8)])
        started = time.perf_counter()
        ours = checker.equivalent(pairs)
        our_time = time.perf_counter() - started
    kinds = Counter(decide(*pair) for pair in pairs)
    asked = kinds[Decision.OPEN]
    apart = [
        (pair, outcome.value)
        for pair, outcome, their in zip(pairs, ours, theirs, strict=True)
        if (outcome, their) in ((Equivalence.EQUAL, False), (Equivalence.DIFFERENT, True))
    ]
    unknown = [(pair, outcome) for pair, outcome in apart if reason(*pair, outcome == "equal") is None]
    declined = sum(
        outcome in (Equivalence.UNDECIDED, Equivalence.TIMEOUT) and their is not None
        for outcome, their in zip(ours, theirs, strict=True)
    )
    return {
        "figures": {
            "serial_over_ours": at_least(their_time / our_time, 20),
            "share_decided_without_math_verify": at_least(1 - asked / len(pairs), None),
            "unlisted_disagreements": at_most(len(unknown), 0),
            "share_left_undecided": at_least(declined / len(pairs), None),
        },
        "conditions": {
            "distinct_pairs": {name: len(found) for name, found in every.items()},
            "sample": len(pairs),
            "serial_ms_a_pair": round(1000 * their_time / len(pairs), 2),
            "ours_ms_a_pair": round(1000 * our_time / len(pairs), 3),
            "math_verify_wrong": Counter(reason(*pair, outcome == "equal") for pair, outcome in apart),
            "unlisted": unknown,
            "seconds": seconds,
            "processes": checker._max_workers,
            "cores": os.cpu_count(),
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.grading")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--sample", type=int, default=3000, help="distinct pairs of both files together; 0: all")
    parser.add_argument("--seconds", type=int, default=5, help="time limit of a pair, on both sides")
    arguments = parser.parse_args()
    finish(measure(arguments.sample, arguments.seconds), arguments.json)
