"""Calibration against its definitions: likelihood's optimum, order kept, the error by hand."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.rankers.calibration import Calibration, expected_calibration_error, fit_platt, sigmoid
from nsad_cli.rankers.measurement import pair_accuracy


def drawn(count: int, scale: float, shift: float) -> tuple[list[float], list[bool]]:
    random_ = random.Random(7)
    logits = [random_.gauss(0, 2) for _ in range(count)]
    return logits, [random_.random() < sigmoid(scale * z + shift) for z in logits]


def test_platt_finds_the_scale_and_shift_that_made_the_labels() -> None:
    fitted = fit_platt(*drawn(20_000, 0.4, -1.2))
    assert fitted is not None
    assert fitted.scale == pytest.approx(0.4, abs=0.03)
    assert fitted.shift == pytest.approx(-1.2, abs=0.05)


def test_platt_is_at_the_likelihoods_optimum() -> None:
    """Where the gradient towards Platt's targets vanishes: Σ (p − t) = Σ (p − t)·z = 0."""
    logits, right = drawn(60, 1.5, 0.3)
    fitted = fit_platt(logits, right)
    assert fitted is not None
    positive = sum(right)
    high, low = (positive + 1) / (positive + 2), 1 / (60 - positive + 2)
    errors = [fitted(z) - (high if good else low) for z, good in zip(logits, right, strict=True)]
    assert sum(errors) == pytest.approx(0, abs=1e-6)
    assert sum(e * z for e, z in zip(errors, logits, strict=True)) == pytest.approx(0, abs=1e-6)


def test_separable_logits_give_a_finite_scale() -> None:
    fitted = fit_platt([-900.0, -800.0, 700.0, 1000.0], [False, False, True, True])
    assert fitted is not None
    assert 0 < fitted.scale < math.inf
    assert fitted(1000.0) == pytest.approx(3 / 4, abs=0.05), "Platt's target for two right ones is 3/4"


@pytest.mark.parametrize(
    ("logits", "right"),
    [([], []), ([1.0, 1.0], [True, False]), ([1.0, 2.0, 3.0, 4.0], [True, True, False, False])],
)
def test_what_cannot_be_calibrated_is_left(logits: list[float], right: list[bool]) -> None:
    assert fit_platt(logits, right) is None


numbers = st.floats(-50, 50)


@given(st.lists(st.tuples(numbers, st.booleans()), min_size=2, max_size=40))
def test_no_calibration_changes_an_order(chains: list[tuple[float, bool]]) -> None:
    logits, right = [z for z, _ in chains], [good for _, good in chains]
    fitted = fit_platt(logits, right)
    if fitted is not None:
        ordered = [fitted(z) for z in sorted(logits)]
        assert all(0 <= a <= b <= 1 for a, b in itertools.pairwise(ordered))


def test_the_error_by_hand() -> None:
    assert expected_calibration_error([0.2, 0.9, 0.9], [False, False, True], bins=2) == pytest.approx(1 / 3)
    assert expected_calibration_error([0.0, 1.0], [False, True]) == 0.0
    assert expected_calibration_error([1.0, 1.0], [False, False]) == 1.0
    with pytest.raises(ValueError, match="no scores"):
        expected_calibration_error([], [])


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_the_error_lies_between_the_mean_gap_and_one(chains: list[tuple[float, bool]]) -> None:
    scores, right = [score for score, _ in chains], [good for _, good in chains]
    gap = abs(sum(scores) - sum(right)) / len(chains)
    assert gap - 1e-12 <= expected_calibration_error(scores, right) <= 1


def test_pairs_are_of_one_problem_and_ties_count_half() -> None:
    """(0.9 | 0.1, 0.9): one pair won, one tied; (0.5 | 0.7): lost: 1.5 of 3. Across problems nothing is compared."""
    groups = [[(0.9, True), (0.1, False), (0.9, False)], [(0.5, True), (0.7, False)], [(0.0, True)]]
    accuracy = pair_accuracy(groups)
    assert (accuracy.value, accuracy.pairs) == (0.5, 3)
    assert pair_accuracy([[(1.0, True)], [(0.0, False)]]).value is None


def test_calibration_is_the_identity_unless_fitted() -> None:
    assert Calibration()(0.7) == sigmoid(0.7)
    assert sigmoid(-1000.0) == 0.0
    assert sigmoid(1000.0) == 1.0
