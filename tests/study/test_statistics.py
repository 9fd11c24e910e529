"""A study's statistics against literal references, and what must hold for any outcomes."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.study.statistics import (
    clustered_bootstrap,
    compare_seed,
    compare_seeds,
    holm,
    minimal_difference,
    sign_flip,
)
from nsad_cli.utils.statistics import mcnemar, paired_bootstrap

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8)
OUTCOMES = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)


def enumerated(totals: list[int]) -> float:
    """The sign-flip test by all 2ⁿ flips."""
    flips = [
        sum(map(math.prod, zip(totals, signs, strict=True))) for signs in itertools.product((1, -1), repeat=len(totals))
    ]
    return sum(abs(flip) >= abs(sum(totals)) for flip in flips) / len(flips)


def test_sign_flip_by_hand() -> None:
    assert sign_flip([2, 1]) == 0.5
    assert sign_flip([1] * 6) == 2 / 64
    assert sign_flip([3, -3]) == 1.0
    assert sign_flip([0, 0]) == 1.0


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_sign_flip_equals_all_flips(totals: list[int]) -> None:
    assert sign_flip(totals) == pytest.approx(enumerated(totals), abs=1e-12)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5))
def test_sign_flip_in_one_seed_is_mcnemars_test(won: int, lost: int, equal: int) -> None:
    assert sign_flip([1] * won + [-1] * lost + [0] * equal) == pytest.approx(mcnemar(lost, won), rel=1e-9)


def test_holm_on_a_textbook_example() -> None:
    """R's p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm"), and its order does not matter."""
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@given(P_VALUES)
def test_holm_lies_between_the_raw_value_and_bonferronis(values: list[float]) -> None:
    adjusted = holm(values)
    for raw, found in zip(values, adjusted, strict=True):
        assert raw <= found <= min(1.0, len(values) * raw) or found == pytest.approx(raw)
    order = sorted(range(len(values)), key=values.__getitem__)
    assert [adjusted[i] for i in order] == sorted(adjusted)


def test_minimal_difference_is_connors_sample_size_solved_for_the_difference() -> None:
    """Shares 0.15 and 0.05 of discordant problems (ψ 0.2, δ 0.1) need (1.96·√0.2 + 0.8416·√0.19)²/0.01 = 155."""
    needed = (1.959964 * math.sqrt(0.2) + 0.841621 * math.sqrt(0.19)) ** 2 / 0.01
    assert math.ceil(needed) == 155
    few = [1.0] * 23 + [-1.0] * 8 + [0.0] * 124  # 31 of 155 differ
    assert minimal_difference(few) == pytest.approx(0.1, abs=0.0005)


def test_minimal_difference_is_never_below_what_an_exact_test_needs() -> None:
    """Six problems that all differ in one direction: 2 × 0.5⁶ = 0.031; five give 0.0625."""
    assert minimal_difference([0.0] * 100) == 0.06
    assert minimal_difference([0.0] * 100, seeds=3) == 0.02
    assert sign_flip([1] * 6) <= 0.05 < sign_flip([1] * 5)


def test_minimal_difference_falls_with_more_problems_and_rises_with_more_comparisons() -> None:
    differences = [1.0, 0.0, 0.0, -1.0, 0.0] * 20
    assert minimal_difference(differences * 4) == pytest.approx(minimal_difference(differences) / 2, rel=0.05)
    assert minimal_difference(differences, alpha=0.01) > minimal_difference(differences)


def test_a_bootstrap_by_problem_is_wider_than_one_that_takes_seeds_for_problems() -> None:
    """Three seeds with equal outcomes are no more evidence than one."""
    one = [1.0] * 12 + [-1.0] * 4 + [0.0] * 84
    assert clustered_bootstrap([one] * 3) == clustered_bootstrap([one]) == paired_bootstrap([0.0] * 100, one)
    pooled = paired_bootstrap([0.0] * 300, one * 3)
    low, high = clustered_bootstrap([one] * 3)
    assert high - low > 1.5 * (pooled[1] - pooled[0])


def test_equal_outcomes_still_have_an_interval() -> None:
    """Newcombe's method 10 on 6 equal problems, 2 of them right: ±0.286."""
    outcomes = [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert compare_seeds([outcomes] * 2, [outcomes] * 2)["ci95"] == pytest.approx([-0.286, 0.286], abs=0.001)


@given(OUTCOMES)
def test_one_seed_over_seeds_is_that_seed(pairs: list[tuple[bool, bool]]) -> None:
    control, arm = ([float(pair[side]) for pair in pairs] for side in (0, 1))
    seed, study = compare_seed(control, arm), compare_seeds([control], [arm])
    assert study["difference"] == pytest.approx(seed["difference"])
    assert study["p"] == pytest.approx(seed["p"])
    low, high = study["ci95"]
    assert low - 1e-9 <= study["difference"] <= high + 1e-9


@given(OUTCOMES, st.integers(1, 3))
def test_swapping_arm_and_control_changes_signs_alone(pairs: list[tuple[bool, bool]], seeds: int) -> None:
    control, arm = ([float(pair[side]) for pair in pairs] for side in (0, 1))
    one, other = compare_seeds([control] * seeds, [arm] * seeds), compare_seeds([arm] * seeds, [control] * seeds)
    assert one["difference"] == pytest.approx(-other["difference"])
    assert one["p"] == other["p"]
    assert one["minimal_difference"] == other["minimal_difference"]
