"""Simulated votes whose leading answer is known: how often a rule stops, and how often it is right then."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from nsad_cli.types import Chain
from nsad_cli.voting.early_stopping import confidence, sum_is_greater

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
    "asc-add2": lambda chains: confidence(chains, "asc-add2"),
    "heaviest_drawn": lambda chains: race(chains, lambda drawn: (min(drawn), max(drawn))),
    "mean_weight": lambda chains: race(chains, lambda drawn: (sum(drawn) / len(drawn),) * 2),
}


def simulate(
    scene: Callable[[random.Random], Scene],
    rule: str,
    problems: int,
    wave: int = 1,
    seed: int = 0,
    weigh: Callable[[float], float] | None = None,
) -> tuple[int, int, int]:
    """How many problems stopped, how many of these by the right leader, and chains drawn in all.

    With `weigh` the scene's weights are probabilities, from which a ranker's weighting makes the weights.
    """
    chance = random.Random(f"{rule}:{problems}:{seed}")
    stopped = right = drawn = 0

    def value(weight: float) -> float:
        return {"sc": 1.0, "asc-add": 1 + weight, "asc-add2": 1 + 2 * weight}.get(rule, weight)

    for _ in range(problems):
        share, weights = scene(chance)
        means = [a / (a + b) if weigh is None else _mean(weigh, a, b) for a, b in weights]
        expected = [s * value(mean) for s, mean in zip(share, means, strict=True)]
        leader = max(range(len(share)), key=expected.__getitem__)
        chains: list[Chain] = []
        while len(chains) < MOST:
            (answer,) = chance.choices(range(len(share)), share)
            weight = chance.betavariate(*weights[answer])
            weight = weight if weigh is None else weigh(weight)
            chains.append(Chain("p", len(chains), "", str(answer), answer_class=answer, weight=weight))
            if len(chains) % wave == 0 and RULES[rule](chains) >= THRESHOLD:
                totals = [
                    math.fsum(value(c.weight or 0) for c in chains if c.answer_class == k) for k in range(len(share))
                ]
                stopped, right = stopped + 1, right + (max(range(len(share)), key=totals.__getitem__) == leader)
                break
        drawn += len(chains)
    return stopped, right, drawn


def _mean(weigh: Callable[[float], float], a: float, b: float) -> float:
    """The mean weight of probabilities from a Beta distribution, by 2,000 draws that are the same for the same a, b."""
    chance = random.Random(f"{a}:{b}")
    return math.fsum(weigh(chance.betavariate(a, b)) for _ in range(2000)) / 2000


def least(stopped: int) -> float:
    """The share of right ones among so many stops that simulation may fall to: three standard errors below."""
    return THRESHOLD - 3 * math.sqrt(THRESHOLD * (1 - THRESHOLD) / max(stopped, 1))
