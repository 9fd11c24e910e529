"""Early stopping: the posterior by hand and by simulation, and what it saves on recorded chains."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.answers.checker import Checker
from nsad_cli.errors import UsageError
from nsad_cli.stopping import STOPPABLE, chains_needed, confidence, leader_stays, sum_is_greater
from nsad_cli.votefile import read_vote_file, vote_results
from nsad_cli.voting import vote
from tests.benchmarks.stopping import SCENES, THRESHOLD, simulate
from tests.test_voting import ITEMS, chain, made


def test_the_posterior_by_hand() -> None:
    assert leader_stays(0, 0) == 0.5
    assert leader_stays(1, 0) == 0.75
    assert leader_stays(3, 0) == 15 / 16
    assert leader_stays(4, 0) == 31 / 32, "four alike are the fewest at 0.95"
    assert leader_stays(2, 1) == pytest.approx((1 + 4 + 6) / 16)


@given(st.integers(0, 40), st.integers(0, 40))
def test_its_laws(first: int, second: int) -> None:
    assert leader_stays(first, second) + leader_stays(second, first) == pytest.approx(1)
    assert leader_stays(first + 1, second) > leader_stays(first, second)
    assert leader_stays(first, second + 1) < leader_stays(first, second)


def test_it_is_what_a_uniform_prior_makes_of_the_counts() -> None:
    chance = random.Random(0)
    wins = 0
    for _ in range(20_000):
        wins += chance.betavariate(5 + 1, 2 + 1) > 0.5
    assert wins / 20_000 == pytest.approx(leader_stays(5, 2), abs=0.01)


def test_the_weighted_race_by_hand() -> None:
    assert sum_is_greater([2.0], [1.0]) == pytest.approx(2 / 3)
    assert sum_is_greater([1.0, 1.0], [1.0]) == pytest.approx(3 / 4)
    # P(E₁ + 2E₂ > E₃): the first ends first by 1/2; else 2E₂ must last longer than what is left of E₃, by 2/3.
    assert sum_is_greater([1.0, 2.0], [1.0]) == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)


WEIGHTS = st.lists(st.floats(0.01, 1), min_size=1, max_size=6)


@given(WEIGHTS, WEIGHTS, st.floats(0.1, 10), st.randoms())
def test_the_laws_of_the_race(a: list[float], b: list[float], scale: float, chance: random.Random) -> None:
    value = sum_is_greater(a, b)
    assert value + sum_is_greater(b, a) == pytest.approx(1)
    assert sum_is_greater([scale * x for x in a], [scale * x for x in b]) == pytest.approx(value)
    assert sum_is_greater([*a, 0.5], b) > value > sum_is_greater(a, [*b, 0.5])
    shuffled = chance.sample(a, len(a))
    assert sum_is_greater(shuffled, b) == pytest.approx(value)


def test_the_race_is_what_a_simulation_gives() -> None:
    chance, a, b = random.Random(0), [0.9, 0.2, 0.7], [0.5, 0.6]
    wins = sum(
        sum(x * chance.expovariate(1) for x in a) > sum(x * chance.expovariate(1) for x in b) for _ in range(20_000)
    )
    assert wins / 20_000 == pytest.approx(sum_is_greater(a, b), abs=0.01)


@given(st.integers(1, 12), st.integers(0, 12), st.sampled_from([0.1, 0.5, 1.0]), st.sampled_from(STOPPABLE))
def test_equal_weights_are_counts(first: int, second: int, weight: float, rule: str) -> None:
    first, second = max(first, second), min(first, second)
    items = [("a", weight, math.log(weight))] * first + [("b", weight, math.log(weight))] * second
    assert confidence(made(items), rule) == pytest.approx(leader_stays(first, second))


@given(ITEMS, st.sampled_from(STOPPABLE))
def test_a_confidence_is_a_probability(items: list[tuple[str | None, float, float]], rule: str) -> None:
    chains = made(items)
    assert 0 <= confidence(chains, rule) <= 1
    unscored = [dataclasses.replace(item, answer=None, answer_class=None) for item in chains]
    assert confidence(unscored, rule) == 0.5


@pytest.mark.parametrize("scene", ["two_apart", "five_apart", "good_ranker", "likelihoods"])
def test_weighted_votes_are_as_sure_as_they_say(scene: str) -> None:
    stopped, right, _ = simulate(SCENES[scene], "asc", 400)
    assert stopped > 100 and right / stopped > THRESHOLD - 3 * math.sqrt(THRESHOLD * (1 - THRESHOLD) / stopped)


def test_mean_weights_in_the_prior_would_be_too_sure() -> None:
    stopped, right, _ = simulate(SCENES["five_apart"], "mean_weight", 400)
    assert right / stopped < 0.93


def test_what_cannot_stop() -> None:
    with pytest.raises(UsageError, match="best"):
        confidence([chain(0, "a", 0.5)], "best")
    with pytest.raises(UsageError, match="zero and above"):
        confidence([chain(0, "a", -0.5)], "asc")
    with pytest.raises(UsageError, match="needs scores"):
        confidence([chain(0, "a")], "asc")


def test_waves_stop_at_their_ends_alone() -> None:
    chains = [chain(i, "7", first=0) for i in range(10)]
    assert chains_needed(chains, 0.95) == 4
    assert chains_needed(chains, 0.95, wave=3) == 6
    assert chains_needed(chains, 0.999999) == 10
    assert confidence([chain(0, None), chain(1, None)]) == 0.5


@pytest.mark.slow
def test_what_it_saves_on_real_chains(data: Path) -> None:
    """A third of 16 chains and a sixth of 40, with hardly another answer."""
    problems = list(read_vote_file(data / "votes" / "gpt35_last_letters_40.jsonl", print))
    with Checker() as checker:
        results = [chains for _, chains, _ in vote_results(problems, "sc", checker)]
    for n, share in ((16, 0.34), (40, 0.17)):
        first = [chains[:n] for chains in results]
        needed = [chains_needed(chains, 0.95) for chains in first]
        same = [
            vote(chains[:k], "sc").votes[:1] and vote(chains[:k], "sc").answer == vote(chains, "sc").answer
            for chains, k in zip(first, needed, strict=True)
        ]
        assert sum(needed) / (n * len(first)) == pytest.approx(share, abs=0.02)
        assert sum(map(bool, same)) / len(same) > 0.99


@pytest.mark.slow
def test_what_weighted_stopping_saves_on_real_chains(data: Path) -> None:
    """A reward model's scores for eight chains, squeezed into [0, 1] as our rankers' are."""
    with Checker() as checker:
        results = vote_results(list(read_vote_file(data / "votes" / "qwen25_math_cot_100.jsonl", print)), "sc", checker)
    drawn = same = 0
    for _, chains, _ in results:
        chains = [dataclasses.replace(c, weight=1 / (1 + math.exp(-(c.weight or 0)))) for c in chains]
        needed = chains_needed(chains, 0.95, rule="asc")
        drawn += needed
        first, whole = vote(chains[:needed], "asc").votes[0], vote(chains, "asc").votes[0]
        same += first.chains[0] in whole.chains
    assert same >= 97 and drawn / 800 < 0.75
