"""The smallest set of chains that a result rests on: against every subset there is."""

from __future__ import annotations

import dataclasses
import itertools
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsad_cli.errors import UsageError
from nsad_cli.types import Chain
from nsad_cli.voting.minimal_flip import smallest_flip, winning_class

if TYPE_CHECKING:
    from collections.abc import Sequence

WHOLE = 2520
"""A multiple of every number up to ten: means of its multiples are whole, and no sum is ever rounded."""


def chains_of(items: Sequence[tuple[int | None, float | None]]) -> list[Chain]:
    """Chains from (class by any name, score); log-probabilities follow the place, some missing, some of no weight."""
    firsts: dict[int, int] = {}
    for index, (name, _) in enumerate(items):
        if name is not None:
            firsts.setdefault(name, index)
    return [
        Chain(
            "p",
            index,
            "",
            None if name is None else f"answer {name}",
            logprobs=() if name is None and index % 2 else (-1000.0 if weight == 0 else -0.125 * (index % 3),),
            answer_class=None if name is None else firsts[name],
            weight=weight,
        )
        for index, (name, weight) in enumerate(items)
    ]


def by_trying(chains: Sequence[Chain], rule: str) -> int | None:
    """The size of the smallest set, found by removing every subset."""
    winner = winning_class(chains, rule)
    for size in range(1, len(chains)):
        for gone in itertools.combinations(chains, size):
            rest = [chain for chain in chains if chain not in gone]
            try:
                now = winning_class(rest, rule)
            except UsageError:
                continue
            if now is not None and now != winner:
                return size
    return None


def agree(chains: list[Chain], rule: str) -> None:
    try:
        found = smallest_flip(chains, rule)
    except UsageError:
        if rule == "best" and any(c.weight is not None for c in chains):
            return  # it says that it does not know
        with pytest.raises(UsageError):
            winning_class(chains, rule)
        return
    expected = by_trying(chains, rule)
    assert (None if found is None else len(found)) == expected, (rule, found)
    if found is not None:
        rest = [chain for chain in chains if chain.index not in found]
        assert winning_class(rest, rule) not in (winning_class(chains, rule), None)


CLASSES = st.sampled_from([None, 0, 0, 1, 1, 2])
SCORED = st.lists(st.tuples(CLASSES, st.integers(0, 6).map(lambda n: float(n * WHOLE))), max_size=9)
PARTLY = st.lists(
    st.tuples(CLASSES, st.none() | st.integers(0, 6).map(lambda n: float(n * WHOLE))), min_size=1, max_size=9
)
BELOW = st.lists(
    st.tuples(CLASSES, st.none() | st.integers(-3, 4).map(lambda n: float(n * WHOLE))), min_size=1, max_size=8
)


@settings(max_examples=150)
@given(SCORED, st.sampled_from(["sc", "wsc", "asc", "asc-add", "asc-add2", "best"]))
def test_it_is_the_smallest_where_all_are_scored(items: list[tuple[int | None, float | None]], rule: str) -> None:
    agree(chains_of(items), rule)


@settings(max_examples=150)
@given(PARTLY)
def test_it_is_the_smallest_where_the_mean_moves(items: list[tuple[int | None, float | None]]) -> None:
    agree(chains_of(items), "asc")


@settings(max_examples=100)
@given(st.lists(st.tuples(CLASSES, st.sampled_from([None, 0.0, 0.0, 0.0, float(WHOLE)])), min_size=1, max_size=9))
def test_it_is_the_smallest_where_most_weigh_nothing(items: list[tuple[int | None, float | None]]) -> None:
    for rule in ("asc", "wsc", "asc-add", "asc-add2"):
        agree(chains_of(items), rule)


@settings(max_examples=100)
@given(BELOW)
def test_it_is_the_smallest_with_scores_below_zero(items: list[tuple[int | None, float | None]]) -> None:
    agree(chains_of(items), "asc")


MANY = st.lists(
    st.tuples(
        st.none() | st.integers(0, 6), st.none() | st.sampled_from([-1, 0, 0, 1, 2]).map(lambda n: n * float(WHOLE))
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=150)
@given(MANY, st.sampled_from(["asc", "asc-add", "asc-add2"]))
def test_it_is_the_smallest_among_many_answers(items: list[tuple[int | None, float | None]], rule: str) -> None:
    agree(chains_of(items), rule)


@pytest.mark.parametrize(
    "items",
    [
        # Nothing that answers weighs anything, but an unanswered chain does: the mean counts once no other is left.
        [(0, 0.0), (0, 0.0), (None, 0.0), (3, 0.0), (0, 5040.0), (3, 0.0), (None, 5040.0)],
        [(0, 0.0), (0, 0.0), (2, 0.0), (0, 0.0), (0, None), (None, 0.0), (None, 2520.0), (2, 0.0), (2, 0.0)],
        # The rival may lose its last scored chain, but only while it has an unscored one, and the other way round.
        [(0, 2520.0), (0, None), (1, -5040.0), (1, None)],
        [(0, 2520.0), (1, None), (1, None), (0, -2520.0), (1, -2520.0)],
        # All scores are the winner's: it cannot lose them all.
        [(0, 2520.0), (0, 5040.0), (0, 0.0), (1, None), (1, None)],
        # Equally many unscored: the others' weights move only the mean, and by it the tie.
        [(0, 2520.0), (1, 2520.0), (0, None), (1, None), (2, 0.0), (2, 5040.0), (None, 7560.0), (None, None)],
    ],
)
def test_it_is_the_smallest_where_it_hangs_by_a_rule(items: list[tuple[int | None, float | None]]) -> None:
    for rule in ("sc", "asc", "asc-add", "asc-add2"):
        agree(chains_of(items), rule)


def drawn(seed: int, number: int, answers: int, lowest: int, missing: float) -> list[Chain]:
    """Chains of a large vote: answers by a skewed draw, whole scores with many ties, some missing."""
    chance = random.Random(seed)
    names = chance.choices(range(answers), [1 / (k + 1) for k in range(answers)], k=number)
    scores = [None if chance.random() < missing else float(chance.randint(lowest, 6) * WHOLE) for _ in names]
    return chains_of([(None if chance.random() < 0.05 else n, s) for n, s in zip(names, scores, strict=True)])


LARGE = st.builds(
    drawn,
    st.integers(0, 10**6),
    st.integers(20, 120),
    st.integers(2, 60),
    st.integers(-3, 2),
    st.sampled_from([0, 0.2, 0.8]),
)


@settings(max_examples=40)
@given(LARGE, st.sampled_from(["sc", "asc", "asc-add"]), st.randoms(use_true_random=False))
def test_a_large_set_turns_the_vote_and_no_lesser_part_of_it(
    chains: list[Chain], rule: str, chance: random.Random
) -> None:
    try:
        winner, found = winning_class(chains, rule), smallest_flip(chains, rule)
    except UsageError:
        return

    def turns(gone: Sequence[int]) -> bool:
        rest = [chain for chain in chains if chain.index not in gone]
        try:
            return winning_class(rest, rule) not in (winner, None)
        except UsageError:
            return False

    assert found is None or turns(found)
    size = len(chains) if found is None else len(found)
    tries = [[c.index for c in chance.sample(chains, chance.randrange(size))] for _ in range(20)]
    lacking = [[index for index in found or () if index != left] for left in found or ()]
    heaviest = sorted((c for c in chains if c.answer_class == winner), key=lambda c: -(c.weight or 0.0))
    greedy = [[c.index for c in heaviest[:number]] for number in range(min(size, len(heaviest)))]
    assert not any(turns(gone) for gone in [*tries, *lacking, *greedy])


@settings(max_examples=25)
@given(LARGE)
def test_the_size_is_that_of_other_units_and_of_a_count_where_all_weigh_the_same(chains: list[Chain]) -> None:
    def size(weights: Sequence[float | None], rule: str = "asc") -> int | None:
        own = [dataclasses.replace(chain, weight=weight) for chain, weight in zip(chains, weights, strict=True)]
        found = smallest_flip(own, rule)
        return None if found is None else len(found)

    scores = [chain.weight for chain in chains]
    if any(score is not None for score in scores):
        assert size([None if score is None else 8 * score for score in scores]) == size(scores)
    silent = [chain.answer_class is None for chain in chains]
    if any(silent):  # they are scored here: so there is always a score left to vote by
        for same in (0.0, 1.0, 3.0):
            level = [same if mute or score is not None else None for mute, score in zip(silent, scores, strict=True)]
            assert size(level) == size(scores, "sc")
