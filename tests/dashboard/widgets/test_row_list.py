"""A list's columns share the room that there is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.dashboard.screens.run_rows import COLUMNS
from nsad_cli.dashboard.widgets.row_list import Column, RowList

columns = st.builds(Column, st.just(""), st.integers(0, 20), drop=st.integers(0, 4), least=st.integers(1, 24))


@given(st.lists(columns, min_size=1, max_size=8), st.integers(0, 120))
def test_columns_fit_and_those_that_stay_keep_a_cell(found: list[Column], room: int) -> None:
    widths = RowList(found).widths(room)
    stays = [width for width, column in zip(widths, found, strict=True) if not column.drop]
    assert all(width >= 1 for width in stays)
    shown = sum(width > 0 for width in widths)
    if room >= 2 * len(stays) - 1 and shown:
        assert sum(widths) + shown - 1 <= room
    if any(width and not column.width for width, column in zip(widths, found, strict=True)):
        assert sum(widths) + shown - 1 >= room, "what is left is given away"


@given(st.integers(7, 200))
def test_a_runs_name_is_the_last_to_go(room: int) -> None:
    mark, name, state, *others = RowList(COLUMNS).widths(room)
    assert mark == 1
    assert name >= 1
    assert state >= 1
    if any(others):
        assert name >= 12
