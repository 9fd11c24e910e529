"""Data: what the store holds is shown by the page, follows who writes it, and survives what becomes of the file."""

from __future__ import annotations

import csv
import os
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.dashboard.screens.data import DataView
from nsad_cli.dashboard.screens.problem_pane import BLOCK
from nsad_cli.store.pages import ProblemRow, StorePages
from nsad_cli.store.rationales import Store
from nsad_cli.types import Draw, Grade, Problem, Verdict
from tests.helpers.data_screen import look, show, steady
from tests.helpers.rationale_stores import EVIL, PARAMS, fill, make_big, make_run
from tests.helpers.screens import check_snapshot, screen_text

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A run with the draws of tests.helpers.rationale_stores."""
    fill(make_run(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.mark.parametrize("size", [(50, 20), (80, 24), (120, 36), (200, 50)])
def test_the_screen_at_every_width(home: Path, size: tuple[int, int]) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        check_snapshot(pilot.app, f"data-{size[0]}")  # type: ignore[arg-type]
        await look(pilot, "t")
        check_snapshot(pilot.app, f"data-totals-{size[0]}")  # type: ignore[arg-type]

    show(home, script, size)


def fill_steps(path: Path) -> None:
    """A problem with three draws: all steps right, a right answer with a wrong step, and a disputed draw with one."""
    texts = (
        "5 * 4 = 20 and no more. The answer is 20.",
        "First 2 + 3 = 5.\nThen $5 \\times 4 = 24$, or so.\nThe answer is 20.",
        "5 * 4 = 24. The answer is 20, no, 24.",
    )
    with Store(path) as store:
        store.add_problems([Problem("s0", "Each of 5 boxes has 4 pens. How many pens?", "20", "sums", "train")])
        store.add_draws([Draw("s0", "gpt", i, text) for i, text in enumerate(texts)], PARAMS)
        keys = store.draw_keys("gpt", PARAMS)
        verdicts = (Verdict.CORRECT, Verdict.CORRECT, Verdict.DISPUTED)
        store.verdicts.record([(keys["s0", i], Grade(v, "20", "because")) for i, v in enumerate(verdicts)], "5")


@pytest.mark.parametrize("size", [(50, 20), (80, 24), (120, 36), (200, 50)])
def test_a_wrong_step_at_every_width(tmp_path: Path, size: tuple[int, int]) -> None:
    fill_steps(make_run(tmp_path / "runs"))

    async def script(pilot: Pilot[Any]) -> None:
        await look(pilot, "enter", "down", "enter")
        check_snapshot(pilot.app, f"data-steps-{size[0]}")  # type: ignore[arg-type]

    show(tmp_path / "runs", script, size)


def test_the_first_wrong_step_is_marked(tmp_path: Path) -> None:
    fill_steps(make_run(tmp_path / "runs"))

    async def script(pilot: Pilot[Any]) -> None:
        text = await steady(pilot)
        assert "checked steps: 1 of 1 right" in text
        assert "✗«" not in text
        text = await look(pilot, "enter", "down")
        assert "checked steps: 1 of 2 right; first wrong: `$5 × 4 = 24$`" in text.replace("\n", " ")
        assert "✗«$5 × 4 = 24$»" in text
        text = await look(pilot, "d")
        assert "✗«5 * 4 = 24»" in text, "the review marks it too"
        assert "checked steps: 0 of 1 right; first wrong: `5 * 4 = 24`" in text

    show(tmp_path / "runs", script, (160, 40))


def test_problems_draws_and_the_text_of_one(home: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        text = await steady(pilot)
        assert "4 problems · 12 samples · ✓ D+ 4 · ✗ D− 2 · ? 4 disputed · 1 ungraded" in text
        assert "How much is 1+1?" in text
        assert "Draw 0 of p0" in text
        assert "One and one is two." in text
        assert "What is $3/4$ of 8 [bold" in text, "LaTeX is readable, markup is text"
        text = await look(pilot, "enter", "down", "down")
        assert "Draw 2 of p0" in text
        assert "✗ wrong (because wrong)" in text
        assert "by hand" in text
        text = await look(pilot, "escape", "down")
        assert "Draw 0 of p1" in text
        assert "12/2" in text
        assert "? disputed (because disputed)" in text
        text = await look(pilot, "enter", "enter")
        assert "Draw 0 of p1" in text
        assert "D−" not in text.partition("\n")[2].partition("\n")[2], "it alone is shown"
        assert "How much is 1+1?" in await look(pilot, "escape")

    show(home, script)


def test_control_sequences_are_shown_not_obeyed(home: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        text = await look(pilot, "end", "up")
        assert "\\x1b[2J\\x1b]0;owned\\x07\\u202e" in text
        assert not set(EVIL) & set("\x1b\x07\u202e") & set(text)

    show(home, script)


def test_only_what_is_asked_for(home: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        view = pilot.app.screen
        assert isinstance(view, DataView)

        def ids() -> list[str]:
            data = view.data()
            assert data is not None
            return [str(row[0]) for row in data.rows]

        await look(pilot, "v")
        assert view.follower.filters.verdict == "correct"
        assert ids() == ["p0", "p2"]
        while view.follower.filters.verdict != "ungraded":
            await look(pilot, "v")
        assert ids() == ["p1"]
        assert "(with ungraded; esc: all)" in screen_text(pilot.app)
        await look(pilot, "escape", "s")
        assert ids() == ["p0", "p3"]
        await look(pilot, "s", "slash", *"APP")
        assert ids() == ["p1"]
        assert "“APP”, fractions" in await look(pilot, "enter")
        await look(pilot, "slash", "end", *["backspace"] * 3, *"0%")
        assert ids() == ["p2"], "a sign of SQL's patterns is a sign"
        await look(pilot, "enter", "escape")
        assert ids() == ["p0", "p1", "p2", "p3"]
        await look(pilot, "v", "v")
        assert view.follower.filters.verdict == "disputed"
        assert "Draw 3 of p0" in await look(pilot, "home")

    show(home, script)


def test_totals_lead_to_a_subject(home: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        text = await look(pilot, "t")
        assert "(all" not in text
        assert "fractions" in text
        data = pilot.app.screen.data()  # type: ignore[attr-defined]
        rows = {row[1]: row[2:] for row in data.rows}
        # (draws, right, wrong, disputed, ungraded, other); a person called a wrong one of p0 right
        assert rows == {None: (12, 4, 2, 4, 1, 1), "addition": (4, 3, 0, 1, 0, 0), "fractions": (8, 1, 2, 3, 1, 1)}
        text = await look(pilot, "end", "enter")
        assert "2 problems (fractions; esc: all)" in text

    show(home, script)


def test_what_is_exported(home: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        await look(pilot, "e", "enter", "e")
        draws, problems = (
            list(csv.DictReader(path.read_text().splitlines(keepends=True))) for path in sorted(home.glob("*.csv"))
        )
        assert len(problems) == 4
        assert problems[0]["question"] == "How much is 1+1?"
        assert [problems[0][name] for name in ("draws", "right", "wrong", "other")] == ["4", "3", "0", "1"]
        assert len(draws) == 4
        assert draws[2]["verdict"] == draws[2]["by hand"] == "correct"
        assert draws[3]["reason"] == "because disputed"
        assert draws[0]["text"].startswith("Draw 0 of p0")

    show(home, script)


# --- others write ---------------------------------------------------------------------------------------------------


def test_the_counts_grow_while_others_write(home: Path) -> None:
    async def script(pilot: Pilot[Any]) -> None:
        view = pilot.app.screen
        assert isinstance(view, DataView)
        await look(pilot, "down", "down")
        with Store(home / "mine" / "store.sqlite") as store:
            for number in range(4, 7):
                store.add_draws([Draw("p2", "gpt", number, "one more")], PARAMS)
            key = store.draw_keys("gpt", PARAMS)["p2", 6]
            store.verdicts.record([(key, Grade(Verdict.WRONG, "9", "differs"))], "5")
            store.add_draws([Draw("p2", "gpt", 0, "of other settings")], "k2")
            view.follower.next_count = 0.0  # no matter how long the first count took
            text = await look(pilot)
        assert "15 samples" in text
        assert "D− 3" in text
        assert "1 with other parameters not shown" in text
        assert len(view.pane.samples) == 7
        assert view.pane.problems.cursor == 2, "the cursor stays"

    show(home, script)


def test_another_run_is_shown_anew(home: Path) -> None:
    fill(make_run(home, "other"), draws=False)

    async def script(pilot: Pilot[Any]) -> None:
        await look(pilot, "v", "v")
        pilot.app.context.run_name = "other"  # type: ignore[attr-defined]
        text = await look(pilot)
        assert "4 problems · 0 samples" in text
        assert "disputed" not in text

    show(home, script)


# --- nothing there, or nothing that can be read ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ("nothing", "`nsad demo` creates a run"),
        ("gone", "The run mine no longer exists"),
        ("no store", "`nsad collect --run mine` collects them"),
        ("no draws", "No samples yet: run `nsad collect --run mine`"),
        ("no verdicts", "No samples are graded yet: run `nsad grade --run mine`"),
        ("garbage", "file is not a database"),
        ("newer", "has format 99"),
        ("no manifest", "run `mine` cannot be read"),
    ],
)
def test_what_is_missing_is_told(tmp_path: Path, made: str, told: str) -> None:
    if made not in ("nothing", "gone"):
        path = make_run(tmp_path)
        if made in ("no draws", "no verdicts", "newer"):
            fill(path, draws=made != "no draws", graded=False)
        if made == "garbage":
            path.write_text("not a database " * 1000)
        if made == "newer":
            with sqlite3.connect(path) as db:
                db.execute("PRAGMA user_version = 99")
            db.close()
        if made == "no manifest":
            (tmp_path / "mine" / "manifest.json").write_text('{"format": 2, "na')

    async def script(pilot: Pilot[Any]) -> None:
        for _ in range(2):  # and it stays told
            assert told in " ".join((await look(pilot)).split())

    show(tmp_path, script, run=None if made == "nothing" else "mine")


def test_a_store_that_breaks_goes_or_is_another_one(home: Path) -> None:
    path = home / "mine" / "store.sqlite"

    async def script(pilot: Pilot[Any]) -> None:
        whole = path.read_bytes()
        os.truncate(path, 8192)
        text = await look(pilot, "down", "v")
        assert "cannot use the store" in text
        path.unlink()
        assert "has no problems and rationales yet" in await look(pilot)
        path.write_bytes(whole)
        text = await look(pilot)
        assert "12 samples" in text
        assert "How much is 1+1?" in text

    with Store(path) as store:
        store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    show(home, script)


def test_a_hundred_thousand_problems_open_by_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_big(make_run(tmp_path), 100_000)
    read, page = [], StorePages.page

    def counted(self: StorePages, numbers: list[int], params: str | None = None) -> list[ProblemRow | None]:
        read.append(len(numbers))
        return page(self, numbers, params)

    monkeypatch.setattr(StorePages, "page", counted)

    async def script(pilot: Pilot[Any]) -> None:
        assert "100,000 problems · 100,000 samples" in await steady(pilot)
        assert sum(read) <= 4 * BLOCK
        assert max(read) <= BLOCK
        assert "Problem 99999?" in await look(pilot, "end")
        assert sum(read) <= 8 * BLOCK

    show(tmp_path, script)


def test_a_moments_lock_passes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer is done before the next look at the store."""
    holder = sqlite3.connect(home / "mine" / "store.sqlite", isolation_level=None)
    assert holder.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
    read = StorePages.draws_of

    def while_it_is_written(pages: StorePages, *which: Any) -> Any:
        monkeypatch.setattr(StorePages, "draws_of", read)
        holder.execute("BEGIN EXCLUSIVE")
        try:
            return read(pages, *which)
        finally:
            holder.execute("ROLLBACK")

    async def script(pilot: Pilot[Any]) -> None:
        monkeypatch.setattr(StorePages, "draws_of", while_it_is_written)
        await look(pilot, "down")
        assert StorePages.draws_of is read, "it was met"
        await look(pilot)
        text = await look(pilot)
        assert "12 samples" in text
        assert "another process" not in text

    show(home, script)
    holder.close()
