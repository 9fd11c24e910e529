"""Counts of right rationales with a wrong step: computed once, kept with the draw, never a deleted draw's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nsad_cli.grading import stored_steps
from nsad_cli.grading.checker import Checker
from nsad_cli.grading.grade import count_verdicts, grade
from nsad_cli.grading.step_checks import StepChecks, check_steps
from nsad_cli.grading.stored_steps import right_with_wrong_step
from nsad_cli.store.rationales import Store
from nsad_cli.store.records import ReviewSource
from nsad_cli.types import Draw, Problem, Verdict

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = (
    "5 * 4 = 20. The answer is 20.",
    "5 * 4 = 24, no matter. The answer is 20.",
    "5 * 4 = 24. The answer is 24.",
    "Just counting. The answer is 20.",
)


class Counted:
    """Counts the texts that are checked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        monkeypatch.setattr(stored_steps, "check_steps", self)

    def __call__(self, text: str) -> StepChecks:
        self.texts.append(text)
        return check_steps(text)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A graded store: of four draws by each of two teachers, three are right and one of those has a wrong step."""
    with Store(tmp_path / "store.sqlite") as store:
        store.add_problems([Problem("p", "How many?", "20", "made", subject="pens")])
        for teacher in ("one", "two"):
            store.add_draws([Draw("p", teacher, i, text) for i, text in enumerate(TEXTS)], "k")
        store.add_draws([Draw("p", "one", 0, TEXTS[1])], "other")
        with Checker() as checker:
            grade(store, checker)
    return tmp_path / "store.sqlite"


def draws(path: Path, *, read_only: bool = False, params: str | None = "k") -> list[tuple[str, int]]:
    with Store(path, read_only=read_only) as store:
        return [(draw.teacher, draw.number) for draw in right_with_wrong_step(store, params)]


def test_grading_checks_each_right_text_once(tmp_path: Path, counted: Counted) -> None:
    path = tmp_path / "fresh.sqlite"
    with Store(path) as store, Checker() as checker:
        store.add_problems([Problem("p", "How many?", "20", "made")])
        store.add_draws([Draw("p", "one", i, text) for i, text in enumerate(TEXTS)], "k")
        counts = grade(store, checker)
        assert sorted(counted.texts) == sorted(text for text in TEXTS if "is 20" in text)
        assert counts.wrong_steps == {("one", ""): 1}
        grade(store, checker)
    assert draws(path) == [("one", 1)]
    assert len(counted.texts) == 3


def test_the_ledger_counts_them_by_row(path: Path) -> None:
    with Store(path) as store:
        ledger = count_verdicts(store, "k").as_dict()
        assert count_verdicts(store).as_dict()["right_with_wrong_step"] == 3
    assert ledger["right_with_wrong_step"] == 2
    found = {(row["teacher"], row["verdict"]): row["right_with_wrong_step"] for row in ledger["rows"]}
    assert found == {("one", "correct"): 1, ("one", "wrong"): 0, ("two", "correct"): 1, ("two", "wrong"): 0}


def test_a_store_of_an_earlier_version_is_checked_once(path: Path, counted: Counted) -> None:
    with Store(path) as store, store._db.transaction() as db:
        db.execute("DROP TABLE step_checks")
    assert draws(path) == [("one", 1), ("two", 1)]
    assert len(counted.texts) == 6
    assert draws(path) == [("one", 1), ("two", 1)]
    assert len(counted.texts) == 6


def test_checks_of_another_version_are_computed_again(
    path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_steps, "VERSION", "of a later version")
    assert draws(path) == [("one", 1), ("two", 1)]
    assert len(counted.texts) == 6


def test_chunks_go_through_all_draws(path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_steps, "CHUNK_SIZE", 1)
    for read_only in (True, False):
        monkeypatch.setattr(stored_steps, "VERSION", f"chunked {read_only}")
        assert draws(path, read_only=read_only) == [("one", 1), ("two", 1)]
    assert len(counted.texts) >= 12


def test_a_store_that_cannot_be_written_is_only_read(path: Path, counted: Counted) -> None:
    with Store(path) as store, store._db.transaction() as db:
        db.execute("DROP TABLE step_checks")
    before = path.read_bytes()
    for _ in range(2):
        assert draws(path, read_only=True) == [("one", 1), ("two", 1)]
    assert path.read_bytes() == before
    assert counted.texts


def test_a_review_changes_what_is_counted(path: Path) -> None:
    with Store(path) as store:
        keys = store.draw_keys("one", "k")
        store.reviews.record(keys["p", 1], Verdict.WRONG, ReviewSource.SAMPLE)
        store.reviews.record(keys["p", 2], Verdict.CORRECT, ReviewSource.SAMPLE)
    assert draws(path) == [("one", 2), ("two", 1)]


def test_a_new_draw_does_not_get_the_counts_of_a_deleted_one(path: Path) -> None:
    """SQLite gives the key of the last row that was deleted to the next one."""
    with Store(path) as store:
        key = store.draw_keys("one", "other")["p", 0]
        with store._db.transaction() as db:
            db.execute("DELETE FROM verdicts WHERE draw_id = ?", (key,))
            db.execute("DELETE FROM draws WHERE id = ?", (key,))
        store.add_draws([Draw("p", "three", 0, TEXTS[0])], "k")
        assert store.draw_keys("three", "k")["p", 0] == key, "the test needs the same key"
        with Checker() as checker:
            grade(store, checker)
    assert draws(path) == [("one", 1), ("two", 1)]
