"""Whether `--stop-at` is as sure as it says: simulated problems whose leading answer is known.

    python -m tests.benchmarks.stopping [--json] [--problems 4000]

A problem is a distribution over answers, and for each answer one of its chains' weights; the right leader is the answer
with the greatest expected weight a chain. Chains are drawn one at a time, 24 at most, until the posterior passes 0.95.
A figure is the share of stopped problems whose leader is that answer; the goal is 0.95 less three standard errors. The
scenes run from weights that tell nothing (alike) to a ranker that knows the answer (sharp). For comparison, without a
goal: the same weighted race where the prior's chains have the mean weight, and what is drawn.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable
from typing import Any

from nsad_cli.stopping import confidence, sum_is_greater
from nsad_cli.types import Chain
from tests.benchmarks.report import at_least, finish

THRESHOLD, MOST = 0.95, 24
Beta = tuple[float, float]
Scene = tuple[list[float], list[Beta]]
"""Each answer's share, and the Beta distribution of its chains' weights."""


def shares(chance: random.Random, answers: int, concentration: float) -> list[float]:
    """A Dirichlet draw."""
    parts = [chance.gammavariate(concentration, 1) for _ in range(answers)]
    return [part / sum(parts) for part in parts]


def beta(mean: float, concentration: float) -> Beta:
    return max(mean * concentration, 0.05), max((1 - mean) * concentration, 0.05)


SCENES: dict[str, Callable[[random.Random], Scene]] = {
    "two_alike": lambda c: (shares(c, 2, 1), [(2, 2)] * 2),
    "two_apart": lambda c: (shares(c, 2, 1), [beta(c.random(), 4) for _ in range(2)]),
    "two_extreme": lambda c: (shares(c, 2, 1), [beta(c.random(), 1) for _ in range(2)]),
    "five_alike": lambda c: (shares(c, 5, 0.5), [(2, 2)] * 5),
    "five_apart": lambda c: (shares(c, 5, 0.5), [beta(c.random(), 4) for _ in range(5)]),
    "good_ranker": lambda c: (shares(c, 5, 0.5), [beta(0.8, 8)] + [beta(0.2, 8)] * 4),
    "sharp_ranker": lambda c: (shares(c, 5, 0.5), [beta(0.95, 8)] + [beta(0.05, 8)] * 4),
    "ten_apart": lambda c: (shares(c, 10, 0.3), [beta(c.random(), 2) for _ in range(10)]),
    "likelihoods": lambda c: (shares(c, 4, 0.7), [beta(c.uniform(0.6, 0.9), 30) for _ in range(4)]),
}


def by_mean(chains: list[Chain]) -> float:
    """The race with the mean weight for both of the prior's chains."""
    weights: dict[int, list[float]] = {}
    for chain in chains:
        weights.setdefault(chain.answer_class or 0, []).append(chain.weight or 1e-9)
    mean = sum(map(sum, weights.values())) / len(chains)
    ranked = sorted(weights.values(), key=sum, reverse=True)
    return sum_is_greater([*ranked[0], mean], [*(ranked[1] if len(ranked) > 1 else []), mean])


RULES: dict[str, Callable[[list[Chain]], float]] = {
    "sc": confidence,
    "asc": lambda chains: confidence(chains, "asc"),
    "mean_weight": by_mean,
}


def simulate(scene: Callable[[random.Random], Scene], rule: str, problems: int) -> tuple[int, int, int]:
    """How many problems stopped, how many of these by the right leader, and chains drawn in all."""
    chance = random.Random(f"{rule}:{problems}")
    stopped = right = drawn = 0
    for _ in range(problems):
        share, weights = scene(chance)
        expected = [s * (1.0 if rule == "sc" else a / (a + b)) for s, (a, b) in zip(share, weights, strict=True)]
        leader = max(range(len(share)), key=expected.__getitem__)
        chains: list[Chain] = []
        while len(chains) < MOST:
            (answer,) = chance.choices(range(len(share)), share)
            weight = 1.0 if rule == "sc" else chance.betavariate(*weights[answer])
            chains.append(Chain("p", len(chains), "", str(answer), answer_class=answer, weight=weight))
            if RULES[rule](chains) >= THRESHOLD:
                totals = [math.fsum(c.weight or 0 for c in chains if c.answer_class == k) for k in range(len(share))]
                stopped, right = stopped + 1, right + (max(range(len(share)), key=totals.__getitem__) == leader)
                break
        drawn += len(chains)
    return stopped, right, drawn


def measure(problems: int) -> dict[str, Any]:
    """Every rule in every scene."""
    figures: dict[str, Any] = {}
    for rule in RULES:
        for name, scene in SCENES.items():
            stopped, right, drawn = simulate(scene, rule, problems)
            error = math.sqrt(THRESHOLD * (1 - THRESHOLD) / max(stopped, 1))
            goal = round(THRESHOLD - 3 * error, 3) if rule == "asc" else None
            figures[f"{rule}_{name}_right"] = at_least(right / max(stopped, 1), goal)
            figures[f"{rule}_{name}_drawn"] = at_least(drawn / problems / MOST, None)
    return {"figures": figures, "conditions": {"problems": problems, "threshold": THRESHOLD, "most_chains": MOST}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.stopping")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--problems", type=int, default=4000, help="simulated problems a scene")
    arguments = parser.parse_args()
    finish(measure(arguments.problems), arguments.json)
