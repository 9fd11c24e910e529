"""What-if, rules side by side, and many problems' votes at once: against `vote` itself."""

from __future__ import annotations

import dataclasses
import math
from array import array
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.errors import UsageError
from nsad_cli.types import Chain
from nsad_cli.voting.counterfactuals import WhatIf, remaining_chains, with_exponent
from nsad_cli.voting.minimal_flip import winning_class
from nsad_cli.voting.problem_filters import (
    PROBLEM_FILTERS,
    ProblemResult,
    Winner,
    matching_problems,
    problem_result,
    transition,
)
from nsad_cli.voting.rule_results import ONLY_ONE_ANSWER, RuleResult, rule_result, rule_results
from nsad_cli.voting.rules import RULES, vote, winner_is_right
from nsad_cli.voting.vectorised import ChainRow, problem_results

if TYPE_CHECKING:
    from collections.abc import Sequence

Item = tuple[int | None, float | None, float | None, bool | None]
ITEMS = st.lists(
    st.tuples(
        st.sampled_from([None, 0, 0, 1, 2]),
        st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0, math.inf]) | st.floats(0, 1, width=32),
        st.none() | st.floats(-3, 0, width=32),
        st.sampled_from([None, True, False]),
    ),
    max_size=8,
)


def chains_of(items: Sequence[Item], problem: str = "p") -> list[Chain]:
    """Chains from (class by any name, score, log-probability, right)."""
    names = [name for name, *_ in items]
    return [
        Chain(
            problem,
            index,
            "",
            None if name is None else f"answer {name}",
            logprobs=() if logprob is None else (logprob, logprob / 2),
            answer_class=None if name is None else names.index(name),
            correct=correct,
            weight=weight,
        )
        for index, (name, weight, logprob, correct) in enumerate(items)
    ]


def plain(names: str, weights: Sequence[float | None] = (), logprob: float | None = -1.0) -> list[Chain]:
    """Chains whose answers are letters, `.` for none; `a` is right."""
    given = [*weights, *[None] * len(names)]
    items: list[Item] = [
        (None if n == "." else ord(n), w, logprob, n == "a") for n, w in zip(names, given, strict=False)
    ]
    return chains_of(items)


def rows_of(chains: Sequence[Chain]) -> list[ChainRow]:
    return [
        (
            chain.problem_id,
            chain.index,
            chain.answer,
            chain.answer_class,
            None if chain.correct is None else int(chain.correct),
            array("f", chain.logprobs).tobytes(),
            chain.weight,
            chain.probability,
            chain.likelihood,
        )
        for chain in chains
    ]


@given(st.lists(ITEMS.filter(bool), max_size=6))
def test_many_at_once_are_as_one_by_one(problems: list[list[Item]]) -> None:
    chains = [[_shifted(chain) for chain in chains_of(items, str(i))] for i, items in enumerate(problems)]
    found = problem_results([row for own in chains for row in rows_of(own)], RULES)
    expected = [problem_result(own[0].problem_id, own, RULES) for own in chains]
    assert [item.problem_id for item in found] == [item.problem_id for item in expected]
    for one, other in zip(found, expected, strict=True):
        assert (one.chains, one.any_right, set(one.winners)) == (other.chains, other.any_right, set(other.winners))
        for rule, won in one.winners.items():
            them = other.winners[rule]
            assert (won.answer, won.answer_class, won.right) == (them.answer, them.answer_class, them.right), rule
            assert won.margin == pytest.approx(them.margin, abs=1e-6)


def _shifted(chain: Chain) -> Chain:
    """With the number of a greedy chain for the first."""
    name = chain.answer_class
    return dataclasses.replace(chain, index=chain.index - 1, answer_class=None if name is None else name - 1)


@given(ITEMS, st.sampled_from(RULES))
def test_an_exponent_of_one_changes_nothing_and_of_zero_counts(items: list[Item], rule: str) -> None:
    chains = chains_of(items)
    try:
        expected = vote(chains, rule)
    except UsageError:
        with pytest.raises(UsageError):
            rule_result(chains, rule)
        return
    assert rule_result(chains, rule).ballot == expected
    if rule != "best":
        assert rule_result(chains, rule, 0.0).classes == rule_result(chains, "sc").classes
    elif expected.votes:
        assert rule_result(chains, rule, 0.0).winner == min(
            c.answer_class for c in chains if c.answer_class is not None
        )
        assert rule_result(chains, rule, 2.5).winner == rule_result(chains, rule).winner or _level(chains)


def _level(chains: Sequence[Chain]) -> bool:
    """Whether a chain takes the mean, which an exponent moves."""
    return any(chain.weight is None for chain in chains)


def test_exponents_by_hand() -> None:
    chains = plain("ab", [0.5, 0.25])
    assert rule_result(chains, "asc", 2.0).weights == {0: 0.25, 1: 0.0625}
    assert rule_result(chains, "asc-add", 2.0).weights == {0: pytest.approx(2.25), 1: pytest.approx(1.5625)}
    assert rule_result(chains, "asc-add2", 2.0).weights == {0: pytest.approx(4.0), 1: pytest.approx(2.25)}
    assert rule_result(chains, "wsc", 2.0).weights == {
        0: pytest.approx(math.exp(-1.5)),
        1: pytest.approx(math.exp(-1.5)),
    }
    assert rule_result(chains, "sc", 2.0).weights == {0: 1.0, 1: 1.0}
    below = [dataclasses.replace(chain, weight=-2.0) for chain in chains]
    assert rule_result(below, "asc", 3.0).weights == {0: -8.0, 1: -8.0}
    half = plain("abc", [0.5, None, 1.0])
    assert rule_result(half, "asc", 2.0).weights[1] == pytest.approx((0.25 + 1.0) / 2), "the mean of the raised scores"
    for power in (-1.0, math.nan, math.inf):
        with pytest.raises(UsageError):
            with_exponent(chains, "asc", power)
    with pytest.raises(UsageError, match="too large"):
        rule_result([dataclasses.replace(chains[0], weight=1e300)], "asc", 8.0)


def test_what_is_left() -> None:
    chains = plain("abab.")
    assert [c.index for c in remaining_chains(chains[::-1], WhatIf())] == [0, 1, 2, 3, 4]
    assert WhatIf().is_default
    assert [c.index for c in remaining_chains(chains, WhatIf(excluded=frozenset({1, 9})))] == [0, 2, 3, 4]
    assert [c.index for c in remaining_chains(chains, WhatIf(only=1))] == [1, 3]
    assert [c.index for c in remaining_chains(chains, WhatIf(first=3, excluded=frozenset({0})))] == [1, 2]
    # The class is named by a chain that is gone: the others are still one class.
    rest = remaining_chains(plain("aba"), WhatIf(excluded=frozenset({0})))
    assert winning_class(rest, "sc") == 1
    assert rule_result(rest, "sc").ballot.votes[1].chains == (2,)


def test_margins_and_how_near() -> None:
    chains = plain("aaabb", [0.5, 0.1, 0.1, 0.9, 0.2])
    sc, asc, best = (rule_result(chains, rule) for rule in ("sc", "asc", "best"))
    assert sc.margin == pytest.approx(0.2)
    assert sc.right is True
    assert sc.votes_to_overturn == 1
    assert sc.flip == (0, 1)
    assert asc.margin == pytest.approx(0.4 / 1.8)
    assert asc.right is False
    assert asc.flip == (3,)
    assert best.shares == pytest.approx((0.9 / 1.4, 0.5 / 1.4))
    assert best.flip == (3,)
    assert rule_result(plain("aa"), "sc").flip == ONLY_ONE_ANSWER
    assert rule_result(plain("aa"), "sc").margin == 1.0
    nothing = rule_result(plain(".."), "sc")
    assert (nothing.winner, nothing.margin, nothing.right) == (None, None, False)
    assert "answer" in str(nothing.flip)
    only_scored = rule_result(plain("aab", [0.5, 0.5, None]), "asc")
    assert only_scored.flip == "no removal lets another answer win", "without them no score is left to vote by"
    assert rule_result([dataclasses.replace(c, correct=None) for c in chains], "sc").right is None


def test_a_rule_that_cannot_be_held_says_why() -> None:
    found = rule_results(plain("ab", logprob=None))
    assert isinstance(found["sc"], RuleResult)
    assert isinstance(found["wsc"], UsageError)
    assert "log-probabilities" in found["wsc"].what
    assert isinstance(found["asc"], UsageError)
    assert "no chain has one" in found["asc"].why
    assert winner_is_right(plain("ab"), vote(plain("ab"), "sc"))


def test_queues() -> None:
    given = {
        "apart": plain("aab", [0.1, 0.1, 0.9]),
        "gold loses": plain("abb", [0.1, 0.2, 0.2]),
        "level": plain("ab", [0.5, 0.5]),
        "sure": plain("aaaa", [0.5] * 4),
        "silent": plain("..", [0.5] * 2),
    }
    found = [problem_result(name, chains, RULES) for name, chains in given.items()]
    queues = {
        queue.name: [item.problem_id for item in matching_problems(queue, found, "sc")] for queue in PROBLEM_FILTERS
    }
    assert queues == {
        "all": list(given),
        "disagree": ["apart"],
        "gold-loses": ["gold loses"],
        "near": ["level"],
        "no-answer": ["silent"],
    }
    by_score = {
        queue.name: [item.problem_id for item in matching_problems(queue, found, "asc")] for queue in PROBLEM_FILTERS
    }
    assert by_score["gold-loses"] == ["apart", "gold loses"]


def test_what_became() -> None:
    right, wrong, unknown = (Winner("x", 0, known, 1.0) for known in (True, False, None))
    assert [transition(wrong, right), transition(right, wrong), transition(right, right), transition(wrong, wrong)] == [
        "fixed",
        "broke",
        "both-right",
        "both-wrong",
    ]
    assert transition(right, unknown) == transition(None, right) == "unknown"
    assert ProblemResult("p", 1, True, {"sc": right}).winner_by("asc") == right
