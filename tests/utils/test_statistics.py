"""Intervals and tests against published values and values worked by hand, and their laws."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.utils.statistics import mcnemar, newcombe, paired_bootstrap, pass_at_k, wilson


def test_wilson_against_published_values() -> None:
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=5e-5)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=5e-5)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 2000), st.data())
def test_wilson_holds_the_share_and_mirrors(n: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, n))
    low, high = wilson(right, n)
    assert 0 <= low <= right / n <= high <= 1
    mirrored = wilson(n - right, n)
    assert math.isclose(low, 1 - mirrored[1], abs_tol=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_wilson_of_estimates_holds_their_mean(values: list[float]) -> None:
    low, high = wilson(sum(values), len(values))
    assert 0 <= low <= sum(values) / len(values) + 1e-12
    assert high <= 1
    assert low <= high


def test_pass_at_k_by_hand() -> None:
    assert pass_at_k(5, 2, 2) == pytest.approx(0.7)
    assert pass_at_k(10, 3, 1) == pytest.approx(0.3)
    assert pass_at_k(4, 0, 3) == 0
    assert pass_at_k(4, 1, 4) == 1
    assert pass_at_k(4, 3, 2) == 1


@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(n: int, data: st.DataObject) -> None:
    right, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    subsets = list(itertools.combinations(range(n), k))
    assert pass_at_k(n, right, k) == pytest.approx(sum(min(subset) < right for subset in subsets) / len(subsets))


def test_mcnemar_by_hand() -> None:
    assert mcnemar(6, 1) == pytest.approx(0.125)  # 2 (1 + 7) / 128
    assert mcnemar(0, 0) == 1
    assert mcnemar(3, 3) == 1
    assert mcnemar(10, 0) == pytest.approx(2 / 1024)


def test_mcnemar_against_a_published_value() -> None:
    """Agresti's approval ratings (Categorical Data Analysis): 150 changed one way and 86 the other, z² = 17.36."""
    assert mcnemar(150, 86) == pytest.approx(math.erfc(math.sqrt(17.36 / 2)), rel=0.25)
    assert mcnemar(1500, 1400) == pytest.approx(
        math.erfc(math.sqrt(99**2 / 2900 / 2)), rel=0.01
    )  # continuity-corrected


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_laws(b: int, c: int) -> None:
    assert mcnemar(b, c) == mcnemar(c, b)
    assert 0 < mcnemar(b, c) <= 1
    assert mcnemar(max(b, c) + 1, min(b, c)) <= mcnemar(max(b, c), min(b, c)) + 1e-12


def fourfold(both: int, only_a: int, only_b: int, none: int) -> tuple[list[float], list[float]]:
    """Two systems' outcomes from how many problems each alone, both or none has right."""
    a = [1.0] * (both + only_a) + [0.0] * (only_b + none)
    return a, [1.0] * both + [0.0] * only_a + [1.0] * only_b + [0.0] * none


def test_newcombe_against_a_published_value() -> None:
    """Airway hyper-responsiveness of 21 children before and after transplantation (Fagerland, Lydersen and Laake 2014,
    square-and-add interval of before − after): −0.507 … −0.026."""
    assert newcombe(*fourfold(1, 1, 7, 12)) == pytest.approx((0.026, 0.507), abs=5e-4)


def test_newcombe_by_hand() -> None:
    """Six alike, two right: Wilson (0.0968, 0.7000); φ = (2 × 4 − 3) / 8; 0.2366² + 0.3667² − 2φ 0.2366 × 0.3667."""
    low, high = newcombe(*fourfold(2, 0, 0, 4))
    assert high == pytest.approx(math.sqrt(0.2366**2 + 0.3667**2 - 1.25 * 0.2366 * 0.3667), abs=5e-4)
    assert low == pytest.approx(-high)


@pytest.mark.parametrize("table", [(6, 0, 0, 0), (0, 0, 0, 6), (2, 0, 0, 4), (0, 0, 1, 0), (0, 6, 0, 0), (1, 0, 1, 0)])
def test_few_problems_never_look_like_certainty(table: tuple[int, int, int, int]) -> None:
    a, b = fourfold(*table)
    low, high = newcombe(a, b)
    assert high - low > 0.3, "where the bootstrap's interval may be a point"
    assert sum(table) > 1 or paired_bootstrap(a, b) == (1.0, 1.0)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40))
def test_newcombe_mirrors_and_holds_the_difference(pairs: list[tuple[float, float]]) -> None:
    a, b = ([pair[side] for pair in pairs] for side in (0, 1))
    low, high = newcombe(a, b)
    difference = sum(b) / len(b) - sum(a) / len(a)
    assert -1 - 1e-9 <= low <= difference + 1e-9
    assert difference - 1e-9 <= high <= 1 + 1e-9
    assert newcombe(b, a) == pytest.approx((-high, -low), abs=1e-6)


def test_newcombe_is_near_the_bootstrap_for_many_problems() -> None:
    pairs = fourfold(250, 50, 150, 550)
    assert newcombe(*pairs) == pytest.approx(paired_bootstrap(*pairs), abs=0.002)


def test_the_bootstrap_is_near_the_normal_interval() -> None:
    a, b = [1.0] * 300 + [0.0] * 700, [1.0] * 250 + [0.0] * 50 + [1.0] * 150 + [0.0] * 550
    low, high = paired_bootstrap(a, b)
    error = math.sqrt((0.2 - 0.1**2) / 1000)  # of a mean of 150 ones and 50 minus ones among 1,000
    assert (low, high) == pytest.approx((0.1 - 1.96 * error, 0.1 + 1.96 * error), abs=0.002)
    assert paired_bootstrap(a, b) == (low, high), "deterministic"


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=30))
def test_the_bootstrap_mirrors_and_holds_the_difference(pairs: list[tuple[float, float]]) -> None:
    a, b = ([pair[side] for pair in pairs] for side in (0, 1))
    low, high = paired_bootstrap(a, b)
    assert -1 <= low <= high <= 1
    back = paired_bootstrap(b, a)
    step = 1 / len(pairs)  # of the means that draws of so few can have
    assert (low, high) == pytest.approx((-back[1], -back[0]), abs=0.12 + step), "but for the draws"
    assert low - 1e-9 <= sum(b) / len(b) - sum(a) / len(a) <= high + 1e-9 or len(pairs) < 3
