"""Settling: whatever keys a person presses, the store holds what was said last, and undoing leads all the way back."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsad_cli.errors import NsadError
from nsad_cli.grading.review_session import VERDICTS, ReviewSession, review_items
from nsad_cli.store.rationales import Store
from nsad_cli.store.records import ReviewSource
from nsad_cli.types import Verdict
from tests.helpers.reviewed_stores import fill

if TYPE_CHECKING:
    from collections.abc import Callable

DRAWS = [Verdict.DISPUTED, Verdict.WRONG, Verdict.DISPUTED, Verdict.CORRECT, Verdict.WRONG]


@settings(max_examples=40)
@given(st.lists(st.sampled_from([*VERDICTS, "u", "j"]), max_size=12))
def test_any_keys(keys: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
        fill(store, DRAWS)
        before = store.reviews.labels("k")
        assert store.reviews.labels("k", [Verdict.DISPUTED]) == [
            label for label in before if label.graded is Verdict.DISPUTED
        ]
        session = ReviewSession(review_items(before, sample=1))
        assert [item.queue for item in session.items] == [ReviewSource.DISPUTED] * 2 + [ReviewSource.SAMPLE]
        said: list[tuple[int, str]] = []
        for key in keys:
            place = session.position
            if key == "u":
                session.undo(store)
                assert session.position == (said.pop()[0] if said else place)
            elif key == "j":
                session.skip_to_sample()
                assert session.position == max(place, 2)
            else:
                session.record(store, key)
                said += [(place, key)] if place < 3 else []
                assert session.position == min(place + 1, 3)
            assert {label.key: label.reviewed for label in store.reviews.labels("k") if label.queue} == {
                session.items[place].key: VERDICTS[key] for place, key in said
            }
        while session.history:
            session.undo(store)
        assert store.reviews.labels("k") == before


def test_a_store_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path) as store:
        fill(store, DRAWS)
        session = ReviewSession(review_items(store.reviews.labels("k")))
        session.record(store, "c")
    with Store(path, read_only=True) as store:
        acts: list[Callable[[], object]] = [lambda: session.record(store, "w"), lambda: session.undo(store)]
        for act in acts:
            with pytest.raises(NsadError, match="readonly"):
                act()
            assert session.position == 1
            assert session.history == [(0, "c")]
