"""The smallest set of chains that a result rests on: against every subset there is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsad_cli.ballots.flips import smallest_flip, winning_class
from nsad_cli.errors import UsageError
from nsad_cli.types import Chain

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
@given(SCORED, st.sampled_from(["sc", "wsc", "asc", "asc-add", "best"]))
def test_it_is_the_smallest_where_all_are_scored(items: list[tuple[int | None, float | None]], rule: str) -> None:
    agree(chains_of(items), rule)


@settings(max_examples=150)
@given(PARTLY)
def test_it_is_the_smallest_where_the_mean_moves(items: list[tuple[int | None, float | None]]) -> None:
    agree(chains_of(items), "asc")


@settings(max_examples=100)
@given(st.lists(st.tuples(CLASSES, st.sampled_from([None, 0.0, 0.0, 0.0, float(WHOLE)])), min_size=1, max_size=9))
def test_it_is_the_smallest_where_most_weigh_nothing(items: list[tuple[int | None, float | None]]) -> None:
    for rule in ("asc", "wsc", "asc-add"):
        agree(chains_of(items), rule)


@settings(max_examples=100)
@given(BELOW)
def test_it_is_the_smallest_with_scores_below_zero(items: list[tuple[int | None, float | None]]) -> None:
    agree(chains_of(items), "asc")
