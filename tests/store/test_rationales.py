"""The store: each draw once, whatever happens."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from nsad_cli.errors import NsadError
from nsad_cli.store.rationales import Store
from nsad_cli.types import Draw, Finish, Grade, Problem, Verdict

if TYPE_CHECKING:
    from pathlib import Path

PROBLEMS = [Problem(f"p{i}", f"What is {i}?", str(i), "test") for i in (3, 1, 2)]


def draw(problem: str, index: int, text: str = "t") -> Draw:
    return Draw(problem, "teacher", index, text, Finish.STOP, 5, 7)


def test_a_draw_is_kept_once_and_never_overwritten(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.add_problems(PROBLEMS)
        assert store.add_draws([draw("p1", 0, "first"), draw("p1", 1)], "k") == 2
        assert store.add_draws([draw("p1", 0, "second"), draw("p1", 2)], "k") == 1
        assert store.add_draws([draw("p1", 0, "other parameters")], "k2") == 1
        assert store.missing(["p1", "p2"], 4, "teacher", "k") == {"p1": (3,), "p2": (0, 1, 2, 3)}
        assert [item.draw.text for item in store.verdicts.ungraded("1")][:1] == ["first"]


def test_rationales_come_in_the_order_of_problems_and_draws(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.add_problems(PROBLEMS[:1])
        store.add_problems(PROBLEMS)
        for problem in ("p2", "p1", "p3"):
            store.add_draws([draw(problem, 1), draw(problem, 0)], "k")
        store.verdicts.record(
            [(item.key, Grade(Verdict.CORRECT, "1", "")) for item in store.verdicts.ungraded("1")], "1"
        )
        found = store.rationales(Verdict.CORRECT, teacher="teacher", params="k")
        assert [(item.problem.id, item.index) for item in found] == [
            ("p3", 0),
            ("p3", 1),
            ("p1", 0),
            ("p1", 1),
            ("p2", 0),
            ("p2", 1),
        ]
        assert store.rationales(Verdict.WRONG, teacher="teacher", params="k") == []


def test_a_new_grader_grades_again(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.add_problems(PROBLEMS)
        store.add_draws([draw("p1", 0)], "k")
        (item,) = store.verdicts.ungraded("1")
        store.verdicts.record([(item.key, Grade(Verdict.WRONG, "9", "differs"))], "1")
        assert list(store.verdicts.ungraded("1")) == []
        assert len(list(store.verdicts.ungraded("2"))) == 1
        assert store.verdicts.counts() == [("teacher", "", "wrong", 1)]


def test_a_corrected_gold_answer_is_graded_again(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.add_problems(PROBLEMS)
        store.add_draws([draw("p1", 0), draw("p2", 0)], "k")
        store.verdicts.record([(item.key, Grade(Verdict.WRONG, "9", "")) for item in store.verdicts.ungraded("1")], "1")
        store.add_problems(PROBLEMS)
        assert list(store.verdicts.ungraded("1")) == []
        store.add_problems([Problem("p1", "What is 1?", "one", "test")])
        (item,) = store.verdicts.ungraded("1")
        assert item.draw.problem_id == "p1"
        assert item.gold == "one"


def test_a_draw_without_a_value_is_an_error_not_a_loss(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.add_problems(PROBLEMS)
        with pytest.raises(NsadError):
            store.add_draws([Draw("p1", "teacher", 0, None)], "k")  # type: ignore[arg-type]
        assert store.counts()["draws"] == 0


def test_many_open_a_new_store_at_the_same_moment(tmp_path: Path) -> None:
    together, openers = 8, ThreadPoolExecutor(8)
    for n in range(50):  # a lost race showed about once in 150 openings
        barrier = threading.Barrier(together)

        def open_it(path: Path, barrier: threading.Barrier = barrier) -> int:
            barrier.wait()
            with Store(path) as store:
                return store.counts()["draws"]

        paths = [tmp_path / f"{n}.sqlite"] * together
        assert list(openers.map(open_it, paths)) == [0] * together


def test_what_is_no_store_is_told(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_text("not a database " * 1000)
    with pytest.raises(NsadError, match="cannot use the store"):
        Store(path)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(NsadError, match="format 99"):
        Store(other)
    assert other.stat().st_size > 0


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path) as store:
        store.add_problems(PROBLEMS)
        store.add_draws([draw("p1", 0)], "k")
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to run out of room
        with pytest.raises(NsadError, match="cannot write the store") as error:
            store.add_draws([draw("p1", 1, "x" * 1_000_000)], "k")
        assert error.value.why == "the disk is full"
    with Store(path) as store:
        assert store.missing(["p1"], 3, "teacher", "k") == {"p1": (1, 2)}
