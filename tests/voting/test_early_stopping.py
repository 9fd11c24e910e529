"""Early stopping: the posterior by hand and by simulation, and what it saves on recorded chains."""

from __future__ import annotations

import dataclasses
import math
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.errors import UsageError
from nsad_cli.grading.checker import Checker
from nsad_cli.inference.vote_file import read_vote_file, vote_results
from nsad_cli.voting.early_stopping import STOPPABLE, chains_needed, confidence, leader_stays, sum_is_greater
from nsad_cli.voting.rules import vote
from tests.helpers.classed_chains import ITEMS, chain, made
from tests.helpers.simulated_votes import SCENES, least, simulate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nsad_cli.types import Chain


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


@given(st.integers(1, 12), st.integers(0, 12), st.sampled_from(STOPPABLE))
def test_chains_that_weigh_all_they_can_are_counts(first: int, second: int, rule: str) -> None:
    first, second = max(first, second), min(first, second)
    assert confidence(made([("a", 1.0, 0.0)] * first + [("b", 1.0, 0.0)] * second), rule) == pytest.approx(
        leader_stays(first, second)
    )


def test_the_weighted_prior_by_hand() -> None:
    """The leader's chain of the prior weighs the lightest drawn, its rival's the most that the rule can give."""
    chains = made([("a", 0.9, math.log(0.9)), ("b", 0.2, math.log(0.2)), ("a", 0.3, math.log(0.3))])
    for rule, add, times in (("asc", 0, 1), ("wsc", 0, 1), ("asc-add", 1, 1), ("asc-add2", 1, 2)):
        heavy, light, rival, most = (add + times * score for score in (0.9, 0.3, 0.2, 1))
        expected = sum_is_greater([heavy, light, rival], [rival, most])
        assert confidence(chains, rule) == pytest.approx(expected), rule
        assert confidence(chains, rule) < sum_is_greater([heavy, light, heavy], [rival, most]) - 0.01
    alone = made([("a", 0.03, 0.0)] * 24)
    assert confidence(alone, "asc") < 0.6, "a heavy chain may be still to come"


@given(ITEMS, st.sampled_from(STOPPABLE))
def test_weights_never_make_a_leader_surer_than_counts_of_its_own_chains(
    items: list[tuple[str | None, float, float]], rule: str
) -> None:
    """However heavy: what all its chains at most, against no chain of another answer, would say."""
    leader = vote(made(items), rule).votes[:1]
    if leader:
        assert confidence(made(items), rule) <= leader_stays(leader[0].count, 0) + 1e-12


@given(ITEMS, st.sampled_from(STOPPABLE))
def test_a_confidence_is_a_probability(items: list[tuple[str | None, float, float]], rule: str) -> None:
    chains = made(items)
    assert 0 <= confidence(chains, rule) <= 1
    unscored = [dataclasses.replace(item, answer=None, answer_class=None) for item in chains]
    assert confidence(unscored, rule) == 0.5


@pytest.mark.parametrize(
    "scene", ["two_apart", "five_apart", "good_ranker", "likelihoods", "two_sharp", "five_sharpest"]
)
@pytest.mark.parametrize("wave", [1, 4])
def test_weighted_votes_are_as_sure_as_they_say(scene: str, wave: int) -> None:
    stopped, right, _ = simulate(SCENES[scene], "asc", 400, wave)
    assert stopped > 50
    assert right / stopped > least(stopped)


@pytest.mark.parametrize(
    ("prior", "scene"), [("mean_weight", "five_apart"), ("heaviest_drawn", "two_sharp"), ("heaviest_drawn", "two_rare")]
)
def test_lighter_priors_would_be_too_sure(prior: str, scene: str) -> None:
    stopped, right, _ = simulate(SCENES[scene], prior, 400)
    assert right / stopped < 0.93
    assert right / stopped < least(stopped)


def test_what_cannot_stop() -> None:
    with pytest.raises(UsageError, match="best"):
        confidence([chain(0, "a", 0.5)], "best")
    for score in (-0.5, 1.5):
        with pytest.raises(UsageError, match="from 0 to 1"):
            confidence([chain(0, "a", score)], "asc")
        with pytest.raises(UsageError, match="from 0 to 1"):
            confidence([chain(0, "a", 3 * score)], "asc-add")
        with pytest.raises(UsageError, match="from 0 to 1"):
            confidence([chain(0, "a", 3 * score)], "asc-add2")
    assert confidence([chain(0, "a", 1.0)], "asc-add2") == 0.75, "a score of 1 weighs the most, 3"
    with pytest.raises(UsageError, match="needs scores"):
        confidence([chain(0, "a")], "asc")


def test_waves_stop_at_their_ends_alone() -> None:
    chains = [chain(i, "7", first=0) for i in range(10)]
    assert chains_needed(chains, 0.95) == 4
    assert chains_needed(chains, 0.95, wave=3) == 6
    assert chains_needed(chains, 0.999999) == 10
    assert confidence([chain(0, None), chain(1, None)]) == 0.5


def winner(chains: Sequence[Chain], rule: str = "sc") -> int | None:
    """The class that wins."""
    classes = {chain.index: chain.answer_class for chain in chains}
    return next((classes[item.chains[0]] for item in vote(chains, rule).votes), None)


def saved(problems: Sequence[Sequence[Chain]]) -> tuple[float, float]:
    """The share of the chains that is drawn at 0.95, and of problems whose answer is that of all."""
    needed = [chains_needed(chains, 0.95) for chains in problems]
    same = [winner(chains[:k]) == winner(chains) for chains, k in zip(problems, needed, strict=True)]
    return sum(needed) / sum(map(len, problems)), sum(same) / len(same)


@pytest.mark.slow
def test_what_it_saves_on_real_chains(data: Path) -> None:
    """A third of 16 chains and a sixth of 40, with hardly another answer: in the file's order, and in random ones."""
    problems = list(read_vote_file(data / "votes" / "gpt35_last_letters_40.jsonl"))
    with Checker() as checker:
        results = [chains for _, chains, _ in vote_results(problems, "sc", checker)]
    for n, in_file, in_any, least_same, mean_same in (
        (16, 0.334, 0.337, 0.998, 0.999),
        (40, 0.162, 0.162, 0.996, 0.9975),
    ):
        drawn, same = saved([chains[:n] for chains in results])
        assert drawn == pytest.approx(in_file, abs=0.001)
        assert same >= least_same
        orders = [random.Random(seed) for seed in range(8)]
        shuffled = [saved([chance.sample(chains, n) for chains in results]) for chance in orders]
        assert sum(share for share, _ in shuffled) / 8 == pytest.approx(in_any, abs=0.005)
        assert sum(same for _, same in shuffled) / 8 == pytest.approx(mean_same, abs=0.0015)


@pytest.mark.slow
def test_what_weighted_stopping_saves_on_real_chains(data: Path) -> None:
    """A reward model's scores for eight chains, squeezed into [0, 1] as our rankers' are."""
    with Checker() as checker:
        results = vote_results(list(read_vote_file(data / "votes" / "qwen25_math_cot_100.jsonl")), "sc", checker)
    drawn = {}
    for rule in ("sc", "asc", "asc-add"):
        drawn[rule] = 0
        for _, found, _ in results:
            chains = [dataclasses.replace(c, weight=1 / (1 + math.exp(-(c.weight or 0)))) for c in found]
            needed = chains_needed(chains, 0.95, rule=rule)
            drawn[rule] += needed
            assert winner(chains[:needed], rule) == winner(chains, rule)
    assert drawn["sc"] == pytest.approx(447, abs=4)
    assert drawn["asc"] == pytest.approx(461, abs=4)
    assert drawn["asc-add"] == pytest.approx(451, abs=4)
