"""The fit of exponents, and that every case runs at its smallest sizes with the costs that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.benchmarks import growth
from tests.benchmarks.growth_cases import CASES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_is_found(power: float) -> None:
    sizes = [10, 100, 1000]
    assert growth.exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(power)


def test_quadratic_growth_behind_a_constant_misses_the_goal_at_the_largest_sizes() -> None:
    sizes = [10, 100, 1000, 10_000]
    figures = growth.figures_of("x", sizes, [10 + (size / 500) ** 2 for size in sizes])
    assert figures["x_exponent"]["met"] is True
    assert figures["x_last_exponent"]["met"] is False


@pytest.mark.parametrize(
    ("name", "size", "costs"),
    [
        pytest.param("grading", 40, {"grading"}, marks=pytest.mark.process),  # math-verify's
        ("votes", 3, {"votes_store", "votes_file"}),
        ("store", 80, {"store_write", "store_resume", "store_verdicts"}),
    ],
)
def test_a_case_has_its_costs(name: str, size: int, costs: set[str], tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == name)
    with case.prepared(tmp_path) as measure:
        found = measure(size, "test")
    assert set(found) == costs
    assert min(found.values()) > 0
