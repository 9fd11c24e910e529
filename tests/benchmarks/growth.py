"""How the cost of training, sampling, grading, votes, the store and the dashboard grows with the size of their input.

    python -m tests.benchmarks.growth [--json] [--only NAME …] [--long] [--rounds 3]

Each case measures processor time, its own and that of processes it starts, at several sizes in turn within one process;
the median over the rounds counts. The cost grows as size to the power of an exponent: `NAME_exponent` is fitted by
least squares to the logarithms of all sizes, `NAME_last_exponent` comes from the two largest ones, where constant costs
weigh least. 1 is linear growth. `NAME_unit_cost` is the cost of one unit at the largest size as a multiple of that at
the smallest one. `--long` goes up to sizes that take more than ten minutes together.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.growth_cases import CASES
from tests.benchmarks.report import at_most, finish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.growth_cases import Case

GOAL = 1.1
"""The largest exponent that counts as linear growth."""


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Fit cost = c · size^exponent by least squares on logarithms.

    Args:
        sizes: The sizes, at least two.
        seconds: The cost at each size, positive.

    Returns:
        The exponent.
    """
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in seconds]
    return statistics.linear_regression(x, y).slope


def figures_of(name: str, sizes: Sequence[int], seconds: Sequence[float]) -> dict[str, dict[str, Any]]:
    """The figures of one cost that was measured at several sizes."""
    unit_cost = (seconds[-1] / sizes[-1]) / (seconds[0] / sizes[0])
    return {
        f"{name}_exponent": at_most(exponent(sizes, seconds), GOAL),
        f"{name}_last_exponent": at_most(exponent(sizes[-2:], seconds[-2:]), GOAL),
        f"{name}_unit_cost": at_most(unit_cost, None),
    }


def measure_case(case: Case, long: bool, rounds: int) -> dict[str, dict[int, list[float]]]:
    """Measure a case.

    Args:
        case: The case.
        long: Whether to add its long sizes.
        rounds: The maximum number of rounds; a case may have fewer.

    Returns:
        Processor seconds of every round, by the name of a cost and by size.
    """
    sizes = (*case.sizes, *(case.long_sizes if long else ()))
    found: dict[str, dict[int, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder, case.prepared(Path(folder)) as measure:
        measure(sizes[0], "warm")
        for number in range(min(rounds, case.rounds)):
            for size in sizes:
                print(f"{case.name}: {size:,} {case.unit}, round {number + 1} …", file=sys.stderr)
                for name, seconds in measure(size, str(number)).items():
                    found.setdefault(name, {}).setdefault(size, []).append(seconds)
    return found


def measure(names: Sequence[str], long: bool, rounds: int) -> dict[str, Any]:
    """Measure the named cases, one after another."""
    figures: dict[str, Any] = {}
    costs: dict[str, Any] = {}
    for case in CASES:
        if case.name not in names:
            continue
        for name, by_size in measure_case(case, long, rounds).items():
            medians = [statistics.median(values) for values in by_size.values()]
            figures |= figures_of(name, list(by_size), medians)
            spread = [[round(min(values), 3), round(max(values), 3)] for values in by_size.values()]
            costs[name] = {
                "unit": case.unit,
                "sizes": list(by_size),
                "processor_seconds": [round(value, 3) for value in medians],
                "least_and_greatest": spread,
                "rounds": max(len(values) for values in by_size.values()),
            }
    conditions = {
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": sys.version.split()[0],
        "costs": costs,
    }
    return {"figures": figures, "conditions": conditions}


if __name__ == "__main__":
    every = [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--only", nargs="+", choices=every, default=every, metavar="NAME", help=", ".join(every))
    parser.add_argument("--long", action="store_true", help="go up to the full sizes")
    parser.add_argument("--rounds", type=int, default=3, help="rounds whose median counts; slow cases have fewer")
    arguments = parser.parse_args()
    finish(measure(arguments.only, arguments.long, arguments.rounds), arguments.json)
