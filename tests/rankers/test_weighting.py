"""Weights of votes from probabilities: bounded, in the order of probabilities, with the exponent that votes best."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.rankers.calibration import Calibration
from nsad_cli.rankers.scoring import Scoring
from nsad_cli.rankers.weighting import ODDS_EXPONENTS, Weighting, fit_exponent
from nsad_cli.types import Chain, Score
from nsad_cli.voting.rules import vote

PROBABILITIES = st.floats(0, 1)
EXPONENTS = st.sampled_from(ODDS_EXPONENTS)


@given(PROBABILITIES, PROBABILITIES, EXPONENTS, st.sampled_from(["odds", "power"]))
def test_weights_are_bounded_and_in_order(p: float, q: float, exponent: float, form: str) -> None:
    weighting = Weighting(form, exponent)  # type: ignore[arg-type]  # one of the two forms
    low, high = sorted((p, q))
    assert 0 <= weighting(low) <= weighting(high) <= 1
    if exponent == 0:
        assert weighting(p) == 1.0, "counts chains as sc does"


def test_odds_outvote_where_probabilities_do_not() -> None:
    """Three chains at 0.4 against one at 0.9: their probabilities sum to more, their odds to less."""
    chains = [Chain("p", i, "", str(min(i, 1)), answer_class=min(i, 1)) for i in range(4)]
    given = [0.9, 0.4, 0.4, 0.4]

    def winner(weighting: Weighting) -> str | None:
        return vote(
            [chain.scored(Score(weighting(p), p)) for chain, p in zip(chains, given, strict=True)], "asc"
        ).answer

    assert winner(Weighting()) == "1"
    assert winner(Weighting("odds", 1.0)) == "0"


def _problem(name: str, probabilities: list[tuple[float, bool]]) -> list[Chain]:
    return [
        Chain(name, i, "", "r" if good else "w", answer_class=0 if good else 1, correct=good, probability=p)
        for i, (p, good) in enumerate(probabilities)
    ]


def _weigh(chain: Chain, exponent: float) -> Chain:
    assert chain.probability is not None
    return chain.scored(Score(Weighting("odds", exponent)(chain.probability), chain.probability))


def test_the_exponent_is_fitted_to_the_votes() -> None:
    informative = [_problem(str(i), [(0.9, True), (0.9, True), *[(0.3, False)] * 5]) for i in range(10)]
    misleading = [_problem(str(i), [(0.3, True), (0.3, True), (0.3, True), (0.9, False)]) for i in range(10)]
    assert fit_exponent(informative, "asc", _weigh, ODDS_EXPONENTS) > 0.25
    assert fit_exponent(misleading, "asc", _weigh, ODDS_EXPONENTS) == 0.0


@given(st.lists(st.lists(st.tuples(PROBABILITIES, st.booleans()), min_size=1, max_size=6), min_size=1, max_size=5))
def test_fitted_weights_vote_no_worse_than_counting_on_the_same_chains(
    problems: list[list[tuple[float, bool]]],
) -> None:
    """With fewer than four chains there are no halves, so that the measure is the accuracy itself."""
    chains = [_problem(str(i), own[:3]) for i, own in enumerate(problems)]
    exponent = fit_exponent(chains, "asc", _weigh, ODDS_EXPONENTS)

    def right(power: float) -> int:
        return sum(vote([_weigh(c, power) for c in own], "asc").answer == "r" for own in chains)

    assert right(exponent) == max(right(power) for power in ODDS_EXPONENTS)


def test_a_scoring_gives_weight_probability_and_likelihood() -> None:
    chain = Chain("p", 0, "text", "1", logprobs=(-0.5, -0.7))
    scoring = Scoring(Calibration(2.0, 0.0), Weighting("odds", 2.0), likelihood=3.0)
    score = scoring.score(0.0, chain)
    assert score.probability == 0.5
    assert score.weight == pytest.approx((1 / 99) ** 2)
    assert score.likelihood == pytest.approx(2.718281828 ** (3 * -0.6))
    assert scoring.with_weights("calibrated").score(1.0, chain) == Score(0.8807970779778823, 0.8807970779778823)
    assert scoring.with_weights("raw").score(1.0, chain).weight == pytest.approx(0.7310585786)
    assert Scoring.of(scoring.record(), Calibration(2.0, 0.0)) == scoring
    assert Scoring.of({"kind": "head"}, Calibration()).score(0.0, chain) == Score(0.5, 0.5), "of an earlier version"


def test_best_and_asc_add_use_the_probability() -> None:
    """`best` takes the highest probability at any exponent; `asc-add` adds 1 to the probability, not to the odds."""
    chance = random.Random(0)
    for exponent in (0.25, 1.0, 4.0):
        given = [round(chance.uniform(0.02, 0.98), 6) for _ in range(5)]
        weighting = Weighting("odds", exponent)
        chains = [Chain("p", i, "", str(i), answer_class=i).scored(Score(weighting(p), p)) for i, p in enumerate(given)]
        assert vote(chains, "best").answer == str(given.index(max(given)))
        added = vote(chains, "asc-add")
        assert [item.weight for item in added.votes] == sorted((1 + p for p in given), reverse=True)


def test_the_fit_is_deterministic() -> None:
    problems = [_problem(str(i), [(0.1 * ((i + j) % 10), (i * j) % 3 == 0) for j in range(8)]) for i in range(6)]
    assert len({fit_exponent(problems, "asc", _weigh, order) for order in itertools.permutations((0.0, 1.0, 4.0))}) == 1
