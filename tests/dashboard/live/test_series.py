"""What of a curve fits a screen: nothing that stands out is lost, and a gap stays a gap."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsad_cli.dashboard.live.growable_array import GrowableArray
from nsad_cli.dashboard.live.series import Series, decimate
from nsad_cli.dashboard.live.smoothing import CHUNK_POINTS, WEIGHTS, MovingAverage
from nsad_cli.dashboard.widgets.braille import BLANK, braille_cells, column_spans

if TYPE_CHECKING:
    from collections.abc import Sequence

NAN = math.nan
values = st.one_of(st.floats(-1e6, 1e6), st.just(NAN))
points = st.lists(st.tuples(st.integers(0, 60), values), min_size=1, max_size=80).map(
    lambda found: sorted(found, key=lambda point: point[0])
)


def series(found: Sequence[tuple[float, float]]) -> Series:
    steps, numbers = (np.array(part, float) for part in zip(*found, strict=True))
    return Series(steps, numbers, steps + 1e9)


@settings(max_examples=300, deadline=None)
@given(found=points, first=st.integers(-5, 60), width=st.integers(1, 70), columns=st.integers(1, 50), log=st.booleans())
def test_each_column_keeps_its_lowest_and_highest_value(
    found: list[tuple[float, float]], first: int, width: int, columns: int, log: bool
) -> None:
    got = decimate(series(found), first, first + width, columns, positive=log)
    edges = np.linspace(first, first + width, columns + 1)
    before: tuple[int, float] | None = None
    clean = False  # whether only finite values lie between the last one that was seen and the next
    for column in range(columns):
        last = column == columns - 1
        inside = [v for s, v in found if edges[column] <= s < edges[column + 1] or (last and s == edges[-1])]
        fine = [v for v in inside if (v > 0 if log else v == v)]
        assert got.nonfinite[column] == (len(fine) < len(inside))
        if not fine:
            assert np.isnan(got.low[column])
            assert np.isnan(got.last[column])
            assert not got.joined[column]
            clean = clean and not inside
            continue
        assert (got.low[column], got.high[column]) == (min(fine), max(fine))
        assert (got.first[column], got.last[column]) == (fine[0], fine[-1])
        if before is not None:
            assert got.joined[column] == (clean and inside[0] == fine[0])
        before, clean = (column, fine[-1]), inside[-1] == fine[-1]


def test_a_spike_among_a_million_points_is_seen() -> None:
    steps = np.arange(1_000_000.0)
    numbers = np.sin(steps / 1e4)
    numbers[654_321] = 50.0
    numbers[123_456] = -50.0
    numbers[777_777] = NAN
    got = decimate(Series(steps, numbers, steps), 0, 999_999, 200)
    assert np.nanmax(got.high) == 50
    assert np.nanmin(got.low) == -50
    assert np.flatnonzero(got.nonfinite).tolist() == [155]
    upper, lower = column_spans(got, (-50, 50), 80)
    assert upper[130] == 0
    assert lower[24] == 79


def test_the_line_comes_from_outside_and_goes_on_there_but_not_through_a_gap() -> None:
    found = series([(0, 0.0), (10, 10.0), (20, 20.0), (30, NAN), (40, 40.0)])
    inner = decimate(found, 2, 8, 6)
    assert inner.before == (-2.0, 0.0)
    assert inner.after == (8.0, 10.0)
    assert np.isnan(inner.low).all()
    upper, _ = column_spans(inner, (0, 10), 11)
    assert (np.diff(upper) < 0).all()  # drawn right through, upwards
    assert decimate(found, 22, 28, 6).before is None
    assert decimate(found, 22, 28, 6).after is None
    assert np.isnan(column_spans(decimate(found, 22, 28, 6), (0, 40), 8)[0]).all()


def dots(found: Sequence[tuple[float, float]], columns: int, height: int) -> list[list[int]]:
    """The dots of each column, from the top."""
    upper, lower = column_spans(decimate(series(found), 0, columns, columns), (0, height - 1), height)
    return [[] if np.isnan(u) else list(range(round(u), round(v) + 1)) for u, v in zip(upper, lower, strict=True)]


def test_points_are_joined_and_a_value_that_is_not_finite_splits_the_line() -> None:
    assert dots([(0, 0), (1, 3)], 3, 4) == [[2, 3], [0, 1, 2], []]
    line = dots([(0, 0), (4, 4)], 5, 5)
    assert all(line)
    assert line[0][-1] == 4
    assert line[4][0] == 0
    gap = dots([(0, 1), (1, 1), (2, NAN), (3, 1), (4, 1)], 5, 4)
    assert [bool(found) for found in gap] == [True, True, False, True, True]
    gap = dots([(0, 1), (2, NAN), (4, 1)], 5, 4)
    assert [bool(found) for found in gap] == [True, False, False, False, True]


@settings(max_examples=100, deadline=None)
@given(found=points, columns=st.integers(1, 30).map(lambda n: 2 * n), rows=st.integers(1, 12))
def test_every_extreme_has_its_dot(found: list[tuple[float, float]], columns: int, rows: int) -> None:
    finite = [v for _, v in found if v == v]
    scale = (min(finite, default=0.0) - 1, max(finite, default=0.0) + 1)
    got = decimate(series(found), 0, 60, columns)
    picture = braille_cells(*column_spans(got, scale, 4 * rows), rows)
    assert picture.shape == (rows, columns // 2)
    for numbers in (got.low, got.high):
        for column in np.flatnonzero(~np.isnan(numbers)):
            place = round((scale[1] - numbers[column]) / (scale[1] - scale[0]) * (4 * rows - 1))
            bit = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]][place % 4][column % 2]
            assert (int(picture[place // 4, column // 2]) - BLANK) & bit


def test_the_nearest_point_is_found() -> None:
    found = series([(0, 1.0), (10, 2.0), (20, 3.0)])
    assert [found.nearest(step) for step in (-5, 0, 4, 5, 6, 10, 99)] == [0, 0, 0, 1, 1, 1, 2]
    assert Series(np.empty(0), np.empty(0), np.empty(0)).nearest(3) is None
    assert found.between(5, 20).values.tolist() == [2, 3]


@settings(deadline=None)
@given(
    changes=st.lists(
        st.one_of(st.floats(0, 9), st.tuples(st.just("cut"), st.integers(0, 30)), st.just("read")), max_size=60
    )
)
def test_growing_numbers_are_those_of_a_list(changes: list[float | tuple[str, int] | str]) -> None:
    growing = GrowableArray()
    known: list[float] = []
    for change in changes:
        if isinstance(change, tuple):
            growing.truncate(min(change[1], len(known)))
            del known[change[1] :]
        elif isinstance(change, str):
            assert growing.array().tolist() == known
        else:
            growing.append(change)
            known.append(change)
        assert len(growing) == len(known)
        assert growing.last() == (known[-1] if known else None)
    assert growing.array().tolist() == known


def slow_average(numbers: list[float], weight: float) -> list[float]:
    total = weights = 0.0
    found = []
    for number in numbers:
        if number == number:
            total, weights = weight * total + number, weight * weights + 1
        else:
            total, weights = weight * total, weight * weights
        found.append(total / weights if number == number else NAN)
    return found


@settings(max_examples=80, deadline=None)
@given(
    numbers=st.lists(values, min_size=1, max_size=200),
    weight=st.sampled_from(WEIGHTS[1:]),
    cuts=st.sets(st.integers(1, 199)),
)
def test_an_average_in_any_parts_is_the_average(numbers: list[float], weight: float, cuts: set[int]) -> None:
    smoothed = MovingAverage(weight)
    whole = series(list(enumerate(numbers)))
    for end in [*sorted(cut for cut in cuts if cut < len(numbers)), len(numbers)]:
        part = Series(whole.steps[:end], whole.values[:end], whole.times[:end])
        got = smoothed.average(part)
    np.testing.assert_allclose(got.values, slow_average(numbers, weight), rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("weight", WEIGHTS[1:])
def test_an_average_over_many_blocks_keeps_its_precision(weight: float) -> None:
    numbers = np.random.default_rng(0).normal(3, 1, 2 * CHUNK_POINTS + 17)
    steps = np.arange(len(numbers), dtype=float)
    got = MovingAverage(weight).average(Series(steps, numbers, steps)).values
    np.testing.assert_allclose(got, slow_average(numbers.tolist(), weight), rtol=1e-9)


def test_an_average_begins_anew_where_a_stage_was_resumed() -> None:
    smoothed = MovingAverage(0.9)
    smoothed.average(series([(1, 1.0), (2, 2.0), (3, 3.0)]))
    resumed = [(1, 1.0), (2, 7.0), (3, 8.0), (4, 9.0)]
    assert smoothed.average(series(resumed)).values.tolist() == pytest.approx(
        slow_average([v for _, v in resumed], 0.9)
    )
    assert smoothed.average(series(resumed[:2])).values.tolist() == pytest.approx(slow_average([1.0, 7.0], 0.9))
