"""Whether `--stop-at` is as sure as it says: simulated problems whose leading answer is known.

    python -m tests.benchmarks.stopping [--json] [--problems 4000] [--seed 0]

A problem is a distribution over answers, and for each answer one of its chains' weights; the right leader is the answer
with the greatest expected weight a chain. Chains are drawn a wave at a time, 24 at most, until the posterior passes
0.95. A figure is the share of stopped problems whose leader is that answer; the goal is 0.95 less three standard
errors. The scenes run from weights that tell nothing (alike) to rankers that know the answer (sharp, sharper, sharpest)
or weigh one chain in a few (rare). For comparison, without a goal: counts; the same weighted race where the rival's
chain of the prior has the heaviest weight drawn, or both of the prior's have the mean weight; and what is drawn.
"""

from __future__ import annotations

import argparse
from typing import Any

from nsad_cli.rankers.weighting import Weighting
from tests.benchmarks.report import at_least, finish
from tests.helpers.simulated_votes import (
    MOST,
    SCENES,
    THRESHOLD,
    least,
    simulate,
)

GOALS = (
    ("sc", 1, False),
    ("asc", 1, True),
    ("asc", 4, True),
    ("asc-add", 1, True),
    ("asc-add", 4, True),
    ("asc-add2", 1, True),
    ("asc-add2", 4, True),
    ("heaviest_drawn", 1, False),
    ("mean_weight", 1, False),
)
"""(rule, wave, whether it has a goal)."""


FITTED = (0.5, 1.0, 2.0)
"""Exponents of fitted weights: odds of the probabilities of these scenes."""
FITTED_SCENES = ("two_apart", "five_apart", "good_ranker", "sharp_ranker", "five_sharp", "five_low")


def measure(problems: int, seed: int) -> dict[str, Any]:
    """Every rule in every scene."""
    figures: dict[str, Any] = {}
    for exponent in FITTED:
        for name in FITTED_SCENES:
            weighting = Weighting("odds", exponent)
            stopped, right, drawn = simulate(SCENES[name], "asc", problems, 1, seed, weighting)
            goal = round(least(stopped), 3) if stopped else None
            key = f"asc_odds_{exponent:g}_{name}"
            figures[f"{key}_right"] = at_least(right / stopped if stopped else 1.0, goal)
            figures[f"{key}_drawn"] = at_least(drawn / problems / MOST, None)
    for rule, wave, has_goal in GOALS:
        for name, scene in SCENES.items():
            stopped, right, drawn = simulate(scene, rule, problems, wave, seed)
            key = f"{rule}_{name}" if wave == 1 else f"{rule}_by_{wave}_{name}"
            share = right / stopped if stopped else 1.0
            figures[f"{key}_right"] = at_least(share, round(least(stopped), 3) if has_goal else None)
            figures[f"{key}_drawn"] = at_least(drawn / problems / MOST, None)
    conditions = {"problems": problems, "threshold": THRESHOLD, "most_chains": MOST, "seed": seed}
    return {"figures": figures, "conditions": conditions}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.stopping")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--problems", type=int, default=4000, help="simulated problems a scene")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    finish(measure(arguments.problems, arguments.seed), arguments.json)
