from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.utils.durations import CLOCK_TOLERANCE_SECONDS, ago, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (-5.0, "0 s"),
        (0.0, "0 s"),
        (-0.0, "0 s"),
        (0.26, "0.3 s"),
        (12.4, "12 s"),
        (99.4, "99 s"),
        (99.6, "2 min"),
        (5969.0, "99 min"),
        (6000.0, "1 h 40"),
        (7500.0, "2 h 05"),
        (86400.0 * 3, "3 d"),
        (float("inf"), "–"),
        (float("nan"), "–"),
    ],
)
def test_a_span_for_people(seconds: float | None, text: str) -> None:
    assert span(seconds) == text


@given(st.floats(-1e9, 1e9))
def test_no_span_is_negative_or_wide(seconds: float) -> None:
    text = span(seconds)
    assert "-" not in text
    assert len(text) <= 7


def test_a_time_to_come_is_told_as_one() -> None:
    assert ago(180.0) == "3 min ago"
    assert ago(-86_400.0 * 3) == "3 d ahead of this machine's clock"


@given(st.floats(-CLOCK_TOLERANCE_SECONDS, 1e9))
def test_no_two_clocks_agree_quite(seconds: float) -> None:
    assert ago(seconds).endswith(" ago")
