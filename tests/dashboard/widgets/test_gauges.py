from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.dashboard.widgets.gauges import Gauge, draw_gauges

numbers = st.lists(st.one_of(st.floats(0, 1e6), st.just(float("nan"))), max_size=300)


def gauge(values: list[float], name: str = "load", group: str = "", **more: float) -> Gauge:
    return Gauge(group, name, "%", np.array(values, float), None, more.get("top", 100.0))


def test_bars_stand_for_their_share_of_the_top() -> None:
    assert gauge([0, 12.5, 50, 100]).bars(4, 1) == ["▁▁▄█"]
    assert gauge([50, 100, 25, 75]).bars(4, 2) == [" █ ▄", "█████"[:2] + "▄█"]


def test_more_values_than_columns_are_averaged_and_fewer_are_stretched() -> None:
    assert gauge([100, 0, 100, 100]).bars(2, 1) == ["▄█"]
    assert gauge([100, 50]).bars(4, 1) == ["██▄▄"]


def test_a_gap_is_left_where_nothing_was_told() -> None:
    assert gauge([100, float("nan"), 100]).bars(3, 1) == ["█ █"]
    placed = Gauge("", "load", "%", np.array([100.0, 50.0, 9.0]), np.array([0.1, 0.9, 1.2]), 100.0)
    assert placed.bars(4, 1) == ["█  ▄"], "what lies outside is not drawn"


@given(numbers, st.integers(1, 60), st.integers(1, 5))
def test_bars_fill_their_room_exactly(values: list[float], width: int, height: int) -> None:
    shown = Gauge("", "load", "%", np.array(values, float))
    if shown.has_values:
        lines = shown.bars(width, height)
        assert len(lines) == height
        assert {len(line) for line in lines} == {width}


def test_now_and_peak_are_told() -> None:
    memory = Gauge("GPU 0", "memory", "GiB", np.array([3.0, 61.25, 60.0]), None, None, 79.6)
    assert (memory.now, memory.peak) == ("60.0 of 79.6 GiB", "61.2 GiB")
    assert gauge([1, float("nan")]).now == "– %"


@pytest.mark.parametrize("width", [30, 48, 78, 120])
@pytest.mark.parametrize("height", [4, 7, 12, 40])
def test_a_drawing_keeps_to_its_room(width: int, height: int) -> None:
    kinds = ("load", "memory", "power", "heat")
    gauges = [gauge([3, 50, 100], name) for name in ("CPU", "memory", "process")]
    gauges += [gauge([3, 50, 100], name, f"GPU {i} NVIDIA H100") for i in range(4) for name in kinds]
    lines = draw_gauges(gauges, width, height, "blue", "white").plain.splitlines()
    assert len(lines) == 7 if height < 23 else len(lines) <= height
    assert all(len(line) <= width + 8 for line in lines)


def test_a_device_that_tells_nothing_says_so() -> None:
    text = draw_gauges(
        [gauge([float("nan")] * 3, "load", "GPU 0"), gauge([9.0], "heat", "GPU 0")], 60, 20, "blue", "white"
    )
    assert "load    – (not reported by the device)" in text.plain
