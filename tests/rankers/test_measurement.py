"""How well a ranker ranks: pairs within problems with an interval, AUC, and whether it may weight votes."""

from __future__ import annotations

import random
from dataclasses import asdict

import pytest

from nsad_cli.rankers.measurement import auc, measure, pair_accuracy, why_refused
from nsad_cli.types import Chain


def test_pairs_are_of_one_problem() -> None:
    groups = [[(0.9, True), (0.1, False)], [(0.2, True), (0.5, False), (0.2, False)], [(1.0, True)]]
    found = pair_accuracy(groups)
    assert (found.value, found.pairs, found.problems) == (1.5 / 3, 3, 2)
    assert auc(groups) == pytest.approx(_naive(groups))


def _naive(groups: list[list[tuple[float, bool]]]) -> float:
    flat = [pair for group in groups for pair in group]
    right, wrong = ([score for score, good in flat if good is kind] for kind in (True, False))
    return sum((r > w) + 0.5 * (r == w) for r in right for w in wrong) / (len(right) * len(wrong))


def test_the_auc_is_that_of_all_pairs() -> None:
    chance = random.Random(1)
    groups = [[(round(chance.random(), 1), chance.random() < 0.4) for _ in range(7)] for _ in range(9)]
    assert auc(groups) == pytest.approx(_naive(groups))
    assert auc([[(0.5, True)]]) is None


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Problems differ in difficulty, so their pairs are dependent; 95 % of the intervals cover the true share."""
    covered = 0
    for trial in range(200):
        chance = random.Random(trial)
        groups = []
        for _ in range(60):
            ease = chance.choice((0.4, 0.8))  # the true share of pairs is 0.6
            groups.append([(float(chance.random() < ease), True), *[(0.5, False)] * chance.choice((1, 4))])
        found = pair_accuracy(groups)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.6 <= found.high
    assert 180 <= covered <= 199


def test_a_ranker_at_chance_is_refused() -> None:
    def report(groups: list[list[tuple[float, bool]]]) -> dict[str, object]:
        return {"pair_accuracy": asdict(pair_accuracy(groups))}

    good = [[(0.9, True), (0.1, False)]] * 9 + [[(0.1, True), (0.9, False)]]
    even = [[(0.9, True), (0.1, False)], [(0.1, True), (0.9, False)]] * 5
    assert why_refused(report(good)) is None
    refused = why_refused(report(even))
    assert refused is not None
    assert "50% of 10 pairs" in refused
    assert "not above chance" in refused
    assert "no two problems" in (why_refused(report([[(0.9, True), (0.1, False)]])) or "")
    assert why_refused(report([])) is not None


def test_free_scores_stand_beside_the_rankers() -> None:
    texts = ["2 + 2 = 4", "2 + 2 = 5"]
    chains = [
        [Chain(str(i), j, text, None, logprobs=(-0.1 if j else -2.0,), correct=not j) for j, text in enumerate(texts)]
        for i in range(3)
    ]
    found = measure(chains, [[0.8, 0.3]] * 3)
    assert (found["chains"], found["right"]) == (6, 3)
    assert found["pair_accuracy"]["value"] == found["free"]["steps"]["pair_accuracy"]["value"] == 1.0
    assert found["free"]["logprob"]["pair_accuracy"]["value"] == 0.0
    assert found["ece"] == pytest.approx(0.25, abs=0.051)
    assert measure([], [])["auc"] is None
