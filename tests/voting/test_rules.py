"""Votes: the design's rules, worked by hand, and their laws."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.errors import UsageError
from nsad_cli.voting.rules import (
    RANKER_RULES,
    RULES,
    any_right,
    applicable_rule,
    chain_weights,
    chains_to_overturn,
    vote,
    winner_is_right,
)
from tests.helpers.classed_chains import ITEMS, chain, made


def test_the_rules_by_hand() -> None:
    chains = made([("7", 0.2, -0.1), ("7", 0.1, -2.0), ("8", 0.9, -0.5), (None, 0.99, -0.01)])
    assert vote(chains, "sc").answer == "7"
    assert vote(chains, "wsc").answer == "7"  # e^-0.1 + e^-2 = 1.040 against e^-0.5 = 0.607
    assert vote(chains, "asc").answer == "8"
    assert vote(chains, "asc-add").answer == "7"  # 2.3 against 1.9
    assert vote(chains, "asc-add2").answer == "8"  # 2.6 against 2.8
    assert chain_weights(chains, "asc-add2") == pytest.approx({0: 1.4, 1: 1.2, 2: 2.8, 3: 2.98})
    assert vote(chains, "best").answer == "8"
    asc = vote(chains, "asc")
    assert asc.share == pytest.approx(0.9 / 1.2)
    assert asc.votes[1].weight == pytest.approx(0.3)
    assert asc.votes[1].chains == (0, 1)
    assert asc.votes[1].count == 2


def test_a_chain_without_an_answer_never_wins() -> None:
    assert vote(made([(None, 1.0, 0.0), (None, 1.0, 0.0), ("3", 0.0, -9.0)]), "asc").answer == "3"
    nothing = vote(made([(None, 1.0, 0.0)]), "sc")
    assert (nothing.answer, nothing.share, nothing.votes) == (None, 0.0, ())
    assert vote([], "sc").answer is None


def test_ties() -> None:
    even = made([("a", 0.1, -1.0), ("b", 0.3, -1.0), ("a", 0.3, -1.0), ("b", 0.1, -1.0)])
    assert vote(even, "sc").answer == "a"
    single = made([("a", 0.25, -1.0), ("b", 0.5, -1.0), ("a", 0.25, -1.0)])
    assert vote(single, "asc").answer == "b"  # both 0.5: the highest single weight decides


def test_where_sums_are_zero_the_larger_class_wins() -> None:
    nothing = made([("3", 0.0, -1000.0), ("7", 0.0, -1000.0), ("7", 0.0, -1000.0)])
    assert [vote(nothing, rule).answer for rule in ("sc", "asc", "wsc", "asc-add", "asc-add2")] == ["7"] * 5
    assert vote(nothing, "best").answer == "3", "a single chain's score: the first of equals"
    single = made([("a", 0.0, 0.0), ("a", 0.0, 0.0), ("b", 0.0, 0.0), ("c", -1.0, 0.0), ("c", 1.0, 0.0)])
    assert vote(single, "asc").answer == "c", "the highest single weight comes first"
    assert vote(made([("a", 0.5, 0.0), ("b", 0.25, 0.0), ("b", 0.25, 0.0)]), "asc").answer == "a"


def test_only_answers_need_a_log_probability() -> None:
    chains = [chain(0, "a", logprob=-2.0), chain(1, None), chain(2, "b", logprob=-0.1)]
    assert vote(chains, "wsc").answer == "b"
    assert chain_weights(chains, "wsc")[1] == 0.0
    with pytest.raises(UsageError, match="log-probabilities"):
        vote([*chains, chain(3, "a", first=0)], "wsc")


def test_a_further_score_for_the_winner_moves_the_mean_of_the_unscored() -> None:
    chains = [chain(0, "B", 1.0), chain(1, "A"), chain(2, "A", first=1)]
    assert vote(chains, "asc").answer == "A", "two of the mean, 1"
    after = vote([*chains, chain(3, "A", 0.0, first=1)], "asc")  # two of the mean, now 1/2, are as much as B's one
    assert after.answer == "B"
    assert after.votes[0].weight == after.votes[1].weight


def test_a_chain_that_was_not_scored_gets_the_mean() -> None:
    chains = [chain(0, "a", 0.2), chain(1, "b", None), chain(2, "c", 0.6)]
    assert chain_weights(chains, "asc") == pytest.approx({0: 0.2, 1: 0.4, 2: 0.6})


@pytest.mark.parametrize("rule", ["asc", "asc-add", "asc-add2", "best", "wsc"])
def test_missing_weights(rule: str) -> None:
    with pytest.raises(UsageError):
        vote([chain(0, "a")], rule)


def test_recorded_scores_below_zero_count_as_they_stand() -> None:
    ballot = vote(made([("a", -2.0, 0.0), ("b", 0.5, 0.0), ("a", 2.25, 0.0)]), "asc")
    assert ballot.answer == "b"
    assert ballot.share == pytest.approx(0.5 / 0.75)


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_weights_that_are_none(weight: float) -> None:
    with pytest.raises(UsageError, match="finite"):
        vote([chain(0, "a", weight), chain(1, "b", 0.5)], "asc")


def test_how_near_a_vote_was() -> None:
    chains = made([("7", 0.2, -0.1), ("7", 0.1, -0.1), ("8", 0.9, -0.1), ("7", 0.9, -0.1), (None, 0.9, 0.0)])
    assert (
        chains_to_overturn(chains, vote(chains, "sc")) == 1
    )  # 3 to 1: with 2 to 2 the tie is 8's, by its lowest index
    assert chains_to_overturn(chains, vote(chains, "asc")) == 1
    five = made([("a", 0.5, -1.0)] * 5 + [("b", 0.5, -1.0)])
    assert (
        chains_to_overturn(five, vote(five, "sc")) == 2
    )  # 5 to 1; with two of them turned 3 to 3, a tie for b's index 0
    assert chains_to_overturn(five[:5], vote(five[:5], "sc")) is None
    assert chains_to_overturn([], vote([], "sc")) is None


@pytest.mark.parametrize("rule", ["asc", "asc-add", "asc-add2", "best"])
def test_without_any_score_votes_are_counted(rule: str) -> None:
    assert applicable_rule([chain(0, "a"), chain(1, "b")], rule) == "sc"
    assert applicable_rule([chain(0, "a"), chain(1, "b", 0.5)], rule) == rule
    assert applicable_rule([chain(0, "a")], "wsc") == "wsc"


def test_unknown_rule() -> None:
    with pytest.raises(UsageError, match="unknown rule"):
        vote([], "majority")


def test_right_and_any() -> None:
    chains = [dataclasses.replace(chain(0, "a"), correct=False), dataclasses.replace(chain(1, "b"), correct=True)]
    assert any_right(chains)
    assert not winner_is_right(chains, vote(chains, "sc"))
    assert not winner_is_right([], vote([], "sc"))


@given(ITEMS, st.sampled_from(RULES), st.randoms())
def test_shuffling_never_matters(items: list[tuple[str | None, float, float]], rule: str, random: object) -> None:
    chains = made(items)
    shuffled = list(chains)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert vote(shuffled, rule) == vote(chains, rule)


@given(ITEMS, st.sampled_from(RULES), st.floats(0, 1), st.floats(-5, 0))
def test_a_further_vote_for_the_winner_never_unseats_it(
    items: list[tuple[str | None, float, float]], rule: str, weight: float, logprob: float
) -> None:
    before = vote(made(items), rule)
    if before.answer is not None:
        assert vote(made([*items, (before.answer, weight, logprob)]), rule).answer == before.answer


HALF_SCORED = st.lists(
    st.tuples(st.sampled_from([None, "a", "b", "c"]), st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    min_size=1,
    max_size=12,
)


@given(HALF_SCORED, st.sampled_from(RANKER_RULES), st.none() | st.sampled_from([0.0, 0.25, 0.75, 1.0]))
def test_only_the_mean_of_the_unscored_can_unseat_a_winner(
    items: list[tuple[str | None, float | None]], rule: str, weight: float | None
) -> None:
    """Not an unscored vote, nor one beside unscored chains without an answer; nor any, with that mean held."""
    chains = [
        dataclasses.replace(c, weight=w) for c, (_, w) in zip(made([(a, 0, 0) for a, _ in items]), items, strict=True)
    ]
    scored = [w for _, w in items if w is not None]
    before = vote(chains, rule) if scored else None
    if before is None or before.answer is None:
        return
    first = min(before.votes[0].chains)
    further = chain(len(chains), before.answer, weight, first=first)
    after = vote([*chains, further], rule)
    if weight is None or all(c.weight is not None for c in chains if c.answer is not None):
        assert after.answer == before.answer
    mean = sum(scored) / len(scored)
    held = [dataclasses.replace(c, weight=mean) if c.weight is None else c for c in [*chains, further]]
    assert vote(held, rule).answer == before.answer


@given(ITEMS, st.sampled_from(["wsc", "asc", "asc-add", "asc-add2"]), st.sampled_from([0.0, 0.1, 0.3, 0.7, 1.0]))
def test_equal_weights_give_the_majority(
    items: list[tuple[str | None, float, float]], rule: str, weight: float
) -> None:
    chains = made([(answer, weight, math.log(weight) if weight else -1000.0) for answer, _, _ in items])
    assert vote(chains, rule).answer == vote(chains, "sc").answer


@given(ITEMS, st.sampled_from(RULES))
def test_so_many_turned_chains_turn_a_vote_and_fewer_do_not(
    items: list[tuple[str | None, float, float]], rule: str
) -> None:
    chains = made(items)
    ballot = vote(chains, rule)
    count = chains_to_overturn(chains, ballot)
    assert (count is None) == (len(ballot.votes) < 2)
    if count is None:
        return
    weights = chain_weights(chains, rule)
    heaviest = sorted(ballot.votes[0].chains, key=lambda index: (-weights[index], index))
    second = ballot.votes[1]
    for turned in (count - 1, count):
        moved = [
            dataclasses.replace(c, answer=second.answer, answer_class=min(second.chains))
            if c.index in heaviest[:turned]
            else c
            for c in chains
        ]
        assert (vote(moved, rule).answer == second.answer) == (turned == count)


@given(ITEMS, st.sampled_from(RULES))
def test_shares_are_shares(items: list[tuple[str | None, float, float]], rule: str) -> None:
    ballot = vote(made(items), rule)
    assert 0 <= ballot.share <= 1 + 1e-12
    assert sum(item.count for item in ballot.votes) == sum(answer is not None for answer, _, _ in items)
