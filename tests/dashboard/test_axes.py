"""Axes: round ticks, labels that tell them apart, and which steps are in sight."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nsad_cli.dashboard.axis_ticks import labels, log_ticks, short_count, short_number, ticks
from nsad_cli.dashboard.widgets.viewport import MIN_STEPS, Viewport


@example(low=1.0, width=400000001.0, most=2)
@given(low=st.floats(-1e9, 1e9), width=st.floats(1e-6, 1e9), most=st.integers(2, 20))
def test_ticks_are_few_inside_and_told_apart(low: float, width: float, most: int) -> None:
    high = low + width
    if width < 1e-7 * abs(low):  # closer than labels of this size can tell
        return
    found = ticks(low, high, most)
    slack = 1e-6 * width + 1e-9 * max(abs(low), abs(high))
    assert 0 < len(found) <= most or width / most < 1e-12
    assert all(low - slack <= value <= high + slack for value in found)
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 1, 6, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.07, 1.1, 6, ["0.2", "0.4", "0.6", "0.8", "1.0"]),
        (-0.3, 0.3, 4, ["-0.2", "0", "0.2"]),
        (1, 33, 8, ["5", "10", "15", "20", "25", "30"]),
        (0, 3e-5, 4, ["0", "1e-5", "2e-5", "3e-5"]),
        (0, 4e6, 5, ["0", "1e6", "2e6", "3e6", "4e6"]),
        (5, 5, 4, ["5"]),
        (0, 0, 4, ["0"]),
    ],
)
def test_ticks_and_their_labels(low: float, high: float, most: int, expected: list[str]) -> None:
    assert labels(ticks(low, high, most)) == expected


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (1e-6, 250, 6, ["1e-6", "1e-4", "0.01", "1", "100"]),
        (0.07, 1.1, 6, ["0.1", "0.2", "0.5", "1"]),
        (0.21, 0.48, 5, ["0.3", "0.4"]),
        (1e-30, 1e30, 4, ["1e-16", "1", "1e16"]),
    ],
)
def test_logarithmic_ticks(low: float, high: float, most: int, expected: list[str]) -> None:
    assert labels(log_ticks(low, high, most), logarithmic=True) == expected


def test_numbers_are_short() -> None:
    assert [short_count(n) for n in (7, 9999, 12_000, 1_250_000, 2e9)] == ["7", "9999", "12k", "1.25M", "2G"]
    told = {0.0: "0", 0.25371: "0.2537", 3.45e-5: "3.45e-5", -1234567.0: "-1.23e6", 170.7: "170.7"}
    assert {value: short_number(value) for value in told} == told
    assert short_number(math.nan) == short_number(math.inf) == "not finite"


moves = st.one_of(
    st.tuples(st.just("zoom"), st.floats(0.1, 10), st.one_of(st.none(), st.floats(0, 1000))),
    st.tuples(st.just("pan"), st.floats(-2, 2), st.none()),
    st.tuples(st.just("grow"), st.floats(0, 500), st.none()),
)


@given(found=st.lists(moves, max_size=30))
def test_what_is_in_sight_stays_within_what_there_is(found: list[tuple[str, float, float | None]]) -> None:
    viewport, last = Viewport(), 100.0
    viewport.set_extent(1, last)
    for kind, amount, around in found:
        followed = viewport.shows_latest
        if kind == "zoom":
            viewport.zoom(amount, around)
        elif kind == "pan":
            viewport.pan(amount)
        else:
            last += amount
            viewport.set_extent(1, last)
            assert viewport.shows_latest == followed or viewport.bounds[1] >= last
        low, high = viewport.bounds
        assert 1 <= low < high <= last
        assert high - low >= MIN_STEPS * (1 - 1e-9)


def test_zooming_keeps_the_step_where_it_stands() -> None:
    viewport = Viewport()
    viewport.set_extent(0, 100)
    viewport.zoom(0.5, 40)
    assert viewport.bounds == (20, 70)
    assert not viewport.shows_latest
    viewport.set_extent(0, 200)
    assert viewport.bounds == (20, 70)
    viewport.pan(100)
    assert viewport.bounds == (150, 200)
    assert viewport.shows_latest
    viewport.set_extent(0, 300)
    assert viewport.bounds == (250, 300)
    viewport.zoom(1e9)
    assert viewport.shows_all
    assert viewport.bounds == (0, 300)


def test_one_step_has_room_around_it() -> None:
    viewport = Viewport()
    viewport.set_extent(7, 7)
    assert viewport.bounds == (6.5, 7.5)
    viewport.zoom(0.1)
    assert viewport.bounds == (6.5, 7.5)
