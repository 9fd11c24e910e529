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
import math
import random
from typing import TYPE_CHECKING, Any

from nsad_cli.types import Chain
from nsad_cli.voting.early_stopping import confidence, sum_is_greater
from tests.benchmarks.report import at_least, finish

if TYPE_CHECKING:
    from collections.abc import Callable

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


def known(chance: random.Random, answers: int, right: float, wrong: float, concentration: float = 50) -> Scene:
    """Chains of the first answer weigh about `right`, all others about `wrong`."""
    weights = [beta(right, concentration)] + [beta(wrong, concentration)] * (answers - 1)
    return shares(chance, answers, 1 if answers == 2 else 0.5), weights


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
    "two_sharp": lambda c: known(c, 2, 0.9, 0.03),
    "five_sharp": lambda c: known(c, 5, 0.9, 0.03),
    "two_sharper": lambda c: known(c, 2, 0.99, 0.01),
    "five_sharper": lambda c: known(c, 5, 0.99, 0.01),
    "five_sharpest": lambda c: known(c, 5, 0.999, 0.001, 1000),
    "five_low": lambda c: known(c, 5, 0.6, 0.02),
    "two_rare": lambda c: (shares(c, 2, 1), [(0.03, 0.07), beta(0.2, 50)]),
    "five_rare": lambda c: (shares(c, 5, 0.5), [(0.02, 0.08)] + [beta(0.03, 50)] * 4),
    "two_near": lambda c: (shares(c, 2, 5), [beta(0.9, 50), beta(0.03, 50)]),
}


def race(chains: list[Chain], prior: Callable[[list[float]], tuple[float, float]]) -> float:
    """The race with other weights for the prior's two chains: the leader's and the rival's, from those drawn."""
    weights: dict[int, list[float]] = {}
    for chain in chains:
        weights.setdefault(chain.answer_class or 0, []).append(chain.weight or 1e-9)
    ranked = sorted(weights.values(), key=sum, reverse=True)
    ahead, behind = prior([weight for own in ranked for weight in own])
    return sum_is_greater([*ranked[0], ahead], [*(ranked[1] if len(ranked) > 1 else []), behind])


RULES: dict[str, Callable[[list[Chain]], float]] = {
    "sc": confidence,
    "asc": lambda chains: confidence(chains, "asc"),
    "asc-add": lambda chains: confidence(chains, "asc-add"),
    "heaviest_drawn": lambda chains: race(chains, lambda drawn: (min(drawn), max(drawn))),
    "mean_weight": lambda chains: race(chains, lambda drawn: (sum(drawn) / len(drawn),) * 2),
}
GOALS = (
    ("sc", 1, False),
    ("asc", 1, True),
    ("asc", 4, True),
    ("asc-add", 1, True),
    ("asc-add", 4, True),
    ("heaviest_drawn", 1, False),
    ("mean_weight", 1, False),
)
"""(rule, wave, whether it has a goal)."""


def simulate(
    scene: Callable[[random.Random], Scene], rule: str, problems: int, wave: int = 1, seed: int = 0
) -> tuple[int, int, int]:
    """How many problems stopped, how many of these by the right leader, and chains drawn in all."""
    chance = random.Random(f"{rule}:{problems}:{seed}")
    stopped = right = drawn = 0

    def value(weight: float) -> float:
        return {"sc": 1.0, "asc-add": 1 + weight}.get(rule, weight)

    for _ in range(problems):
        share, weights = scene(chance)
        expected = [s * value(a / (a + b)) for s, (a, b) in zip(share, weights, strict=True)]
        leader = max(range(len(share)), key=expected.__getitem__)
        chains: list[Chain] = []
        while len(chains) < MOST:
            (answer,) = chance.choices(range(len(share)), share)
            weight = chance.betavariate(*weights[answer])
            chains.append(Chain("p", len(chains), "", str(answer), answer_class=answer, weight=weight))
            if len(chains) % wave == 0 and RULES[rule](chains) >= THRESHOLD:
                totals = [
                    math.fsum(value(c.weight or 0) for c in chains if c.answer_class == k) for k in range(len(share))
                ]
                stopped, right = stopped + 1, right + (max(range(len(share)), key=totals.__getitem__) == leader)
                break
        drawn += len(chains)
    return stopped, right, drawn


def least(stopped: int) -> float:
    """The share of right ones among so many stops that simulation may fall to: three standard errors below."""
    return THRESHOLD - 3 * math.sqrt(THRESHOLD * (1 - THRESHOLD) / max(stopped, 1))


def measure(problems: int, seed: int) -> dict[str, Any]:
    """Every rule in every scene."""
    figures: dict[str, Any] = {}
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
