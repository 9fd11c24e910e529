"""Disputed draws settled in the dashboard: one key each, in the store at once, or told and nothing lost."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.dashboard.screens import review as settle_view
from nsad_cli.grading.review_statistics import unreviewed
from nsad_cli.store.rationales import Store
from nsad_cli.store.records import ReviewSource
from nsad_cli.store.reviews import Reviews
from tests.helpers.data_screen import look, show, steady
from tests.helpers.rationale_stores import PARAMS, fill, make_run
from tests.helpers.screens import check_snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The store of a run with four disputed draws."""
    store = make_run(tmp_path / "runs")
    fill(store)
    return store


def reviews(path: Path) -> dict[int, str]:
    """What people have said, as another process reads it."""
    db = sqlite3.connect(path)
    found = dict(db.execute("SELECT draw_id, verdict FROM reviews WHERE queue = 'disputed'").fetchall())
    db.close()
    return found


def order(path: Path) -> list[int]:
    """The keys of the disputed draws, in the order of `nsad grade --review`."""
    with Store(path) as store:
        return [label.key for label in unreviewed(store.reviews.labels(PARAMS), ReviewSource.DISPUTED)]


@pytest.mark.parametrize("size", [(50, 20), (80, 24), (120, 36), (200, 50)])
def test_the_screen_at_every_width(path: Path, size: tuple[int, int]) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        await look(pilot, "d")
        check_snapshot(pilot.app, f"settle-{size[0]}")  # type: ignore[arg-type]

    show(path.parent.parent, script, size)


def test_a_key_is_kept_at_once_and_undone(path: Path) -> None:
    keys = order(path)

    async def script(pilot: Pilot[Any]) -> None:
        text = await look(pilot, "d")
        assert "disputed 1 of 4 · gpt" in text
        assert "? disputed: because disputed" in text
        assert "gold" in text
        assert "\\x1b[2J" in text
        assert "\x1b" not in text
        assert "disputed 2 of 4 · previous: right" in await look(pilot, "c")
        assert reviews(path) == {keys[0]: "correct"}
        await look(pilot, "w")
        await look(pilot, "s")
        assert "End of the queue" in await look(pilot, "g")
        assert reviews(path) == dict(zip(keys, ("correct", "wrong", "skip", "bad_gold"), strict=True))
        await look(pilot, "n", "x")
        assert len(reviews(path)) == 4, "there is none left to say it of"
        assert "disputed 4 of 4 · previous: skipped" in await look(pilot, "u")
        await look(pilot, "u")
        assert reviews(path) == {keys[0]: "correct", keys[1]: "wrong"}
        await look(pilot, "n")
        text = await look(pilot, "escape")
        assert "✓ D+ 5 · ✗ D− 3 · ? 1 disputed" in text, "the problems' screen has seen it"
        assert "disputed 1 of 1" in await look(pilot, "d")

    show(path.parent.parent, script)


def test_latex_can_be_seen_as_it_was_written(path: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        await look(pilot, "d")
        while "3/4" not in (text := await steady(pilot)):
            await look(pilot, "s")
        assert "12/2" in text
        assert r"\frac{3}{4}" in await look(pilot, "r")
        assert "3/4" in await look(pilot, "r")

    show(path.parent.parent, script)


def test_a_locked_store_is_told_and_nothing_is_lost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle_view, "LOCK_TIMEOUT_SECONDS", 0.05)
    keys = order(path)

    async def script(pilot: Pilot[Any]) -> None:
        await look(pilot, "d")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        text = await look(pilot, "c")
        assert "Not saved: another process is writing to it" in text
        assert "disputed 1 of 4" in text
        other.execute("ROLLBACK")
        other.close()
        assert reviews(path) == {}
        text = await look(pilot, "c")
        assert "disputed 2 of 4" in text
        assert "Not saved" not in text
        assert reviews(path) == {keys[0]: "correct"}

    show(path.parent.parent, script)


def test_a_full_disk_is_told_and_nothing_is_lost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, full = order(path), [True]

    class CrowdedReviews(Reviews):
        def record(self, *arguments: Any) -> None:
            if full[0]:
                with self._db.transaction() as db:  # what fills the disk, in the same moment
                    db.execute("CREATE TABLE filler AS SELECT zeroblob(1000000)")
            super().record(*arguments)

    class Crowded(Store):
        """A store without room for another page: SQLite's own way to a full disk."""

        def __init__(self, path: Path, *, lock_timeout: float) -> None:
            super().__init__(path, lock_timeout=lock_timeout)
            self.reviews = CrowdedReviews(self._db)
            if full[0]:
                (pages,) = self._db.execute("PRAGMA page_count").fetchone()
                self._db.execute(f"PRAGMA max_page_count = {pages}")

    monkeypatch.setattr(settle_view, "Store", Crowded)

    async def script(pilot: Pilot[Any]) -> None:
        await look(pilot, "d")
        text = await look(pilot, "w")
        assert "Not saved: the disk is full" in text
        assert "disputed 1 of 4" in text
        assert reviews(path) == {}
        full[0] = False
        assert "disputed 2 of 4" in await look(pilot, "w")
        assert reviews(path) == {keys[0]: "wrong"}

    show(path.parent.parent, script)


def test_another_store_in_its_place_is_left_alone(path: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        await look(pilot, "d")
        path.unlink()
        assert "Not saved" in await look(pilot, "c")
        assert not path.exists()
        fill(path)
        assert "the store was replaced by another file" in await look(pilot, "c")
        assert reviews(path) == {}

    show(path.parent.parent, script)


def test_another_run_ends_it(path: Path) -> None:
    fill(make_run(path.parent.parent, "other"), draws=False)

    async def script(pilot: Pilot[Any]) -> None:
        assert "disputed 1 of 4" in await look(pilot, "d")
        await look(pilot, "1")
        pilot.app.context.run_name = "other"  # type: ignore[attr-defined]
        await look(pilot, "5")
        text = await look(pilot)
        assert "4 problems · 0 samples" in text
        assert "disputed" not in text

    show(path.parent.parent, script)


def test_nothing_to_settle_is_said(tmp_path: Path) -> None:
    fill(make_run(tmp_path / "a"), graded=False)
    fill(make_run(tmp_path / "b", graded=False, collected=False))

    async def none(pilot: Pilot[Any]) -> None:
        await look(pilot, "d")
        assert [note.message for note in pilot.app._notifications] == ["There are no disputed samples left to review."]

    async def ungraded(pilot: Pilot[Any]) -> None:
        await look(pilot, "d")
        assert "nsad grade --run mine" in next(iter(pilot.app._notifications)).message

    show(tmp_path / "a", none)
    show(tmp_path / "b", ungraded)
