"""Early stopping: the posterior by hand and by simulation, and what it saves on recorded chains."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.answers.checker import Checker
from nsad_cli.stopping import chains_needed, confidence, leader_stays
from nsad_cli.votefile import read_vote_file, vote_results
from nsad_cli.voting import vote
from tests.test_voting import chain


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


def test_waves_stop_at_their_ends_alone() -> None:
    chains = [chain(i, "7", first=0) for i in range(10)]
    assert chains_needed(chains, 0.95) == 4
    assert chains_needed(chains, 0.95, wave=3) == 6
    assert chains_needed(chains, 0.999999) == 10
    assert confidence([chain(0, None), chain(1, None)]) == 0.5


@pytest.mark.slow
def test_what_it_saves_on_real_chains(data: Path) -> None:
    """The design's figures: 34 % of 16 chains and 17 % of 40, with hardly another answer."""
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
