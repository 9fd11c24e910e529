"""`nsad grade --review` as a person meets it: a real process in a real terminal."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nsad_cli.cli.review import screen
from nsad_cli.grading.review_session import QueuedReview
from nsad_cli.store.rationales import Store
from nsad_cli.store.records import ReviewItem, ReviewSource
from nsad_cli.types import Problem
from tests.helpers.nsad_process import failure, run_nsad
from tests.helpers.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnorw"
LONG = "\n".join(f"Step {n} of it." for n in range(60))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a graded run of 3 disputed rationales, 4 wrong ones and a right one."""
    folder = tmp_path / "home"
    folder.mkdir()
    disputed = [f"The answer is 2. {EVIL} {n} The answer is 3." for n in range(3)]
    wrong = [f"{LONG}\n{n} The answer is 3." for n in range(4)]
    row = {"question": "How much is 1+1?", "answer": "2", "generated_answer": ["It is 2.", *disputed, *wrong]}
    (folder / "mine.jsonl").write_text(json.dumps(row))
    assert run_nsad(folder, "collect", "--teacher", "jsonl:mine.jsonl", "-k", "8", "--run", "mine").returncode == 0
    assert verdicts(folder) == {"correct": 1, "disputed": 3, "wrong": 4}
    return folder


def verdicts(home: Path, *arguments: str) -> dict[str, int]:
    """The ledger's totals, by a process of its own."""
    result = run_nsad(home, "grade", "--json", *arguments)
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout)["verdicts"])


def test_a_person_settles_disputed_draws_one_key_each(home: Path) -> None:
    with Terminal(home, "grade", "--review", "--json") as terminal:
        first = terminal.wait_for("disputed 1 of 3")
        assert "How much is 1+1?" in first
        assert "gold  2" in first
        assert "read  3" in first
        assert "disputed: also states 2" in first
        assert "c right  w wrong" in first
        assert "\\x1b[2J\\x1b]0;owned\\x07\\x9b31m\\u202egnorw" in first
        terminal.press("c", "disputed 2 of 3")
        assert verdicts(home) == {"correct": 2, "disputed": 2, "wrong": 4}, "a key is kept at once"
        terminal.press("W", "disputed 3 of 3")
        assert "(previous: wrong)" in terminal.screen
        terminal.press("u", "disputed 2 of 3")
        assert verdicts(home) == {"correct": 2, "disputed": 2, "wrong": 4}
        terminal.press("n", "disputed 3 of 3")
        terminal.press("g", "That was the last draw")
        code, stdout = terminal.end("q")
    assert code == 0
    assert "\x1b]0" not in terminal.raw
    assert "\x9b" not in terminal.raw
    assert "\u202e" not in terminal.raw
    expected = {"correct": 2, "no_answer": 1, "bad_gold": 1, "wrong": 4}
    assert json.loads(stdout)["verdicts"] == expected == verdicts(home) == verdicts(home, "--force")
    disputed = json.loads(stdout)["reviews"]["disputed"]
    assert disputed["draws"] == disputed["reviewed"] == 3
    assert disputed["ci95"] == [1, 1]
    assert disputed["outcomes"] == {"correct": 1, "no_answer": 1, "bad_gold": 1}


def test_a_sample_of_d_minus_gives_the_estimate(home: Path) -> None:
    before = run_nsad(home, "grade")
    assert "no random sample has been reviewed" in before.stdout
    assert "nsad grade --review --sample" in before.stdout
    with Terminal(home, "grade", "--review", "--sample", "3") as terminal:
        terminal.wait_for("disputed 1 of 3")
        shown = terminal.press("j", "sample 1 of 3")
        assert shown.count("\n") < 24
        assert "lines (m shows all)" in shown
        assert "Step 0 of it" not in shown
        assert "The answer is 3." in shown
        assert "wrong: phrase differs" in shown
        assert "Step 0 of it" in terminal.press("m", "Step 59 of it")
        terminal.press("c", "sample 2 of 3")
        terminal.press("w", "sample 3 of 3")
        terminal.press("s", "That was the last draw")
        assert terminal.end("q")[0] == 0
    # 1 of 2: Wilson's interval 0.0945 … 0.9055, of 4 draws 0.38 … 3.62, outward 0 … 4; one is right, one wrong
    after = run_nsad(home, "grade", "--json")
    found = json.loads(after.stdout)["reviews"]["wrong"]
    assert (found["draws"], found["reviewed"], found["right"], found["skipped"]) == (4, 2, 1, 1)
    assert found["estimate"] == 2
    assert found["ci95"] == [1, 3]
    text = " ".join(run_nsad(home, "grade").stdout.split())
    assert "about 2 of the 4 are really right (50.0%; 95 % interval 1 to 3)" in text


def test_keys_that_mean_nothing_settle_nothing(home: Path) -> None:
    with Terminal(home, "grade", "--review") as terminal:
        terminal.wait_for("disputed 1 of 3")
        for keys in ("x", "\x1b[C", "wrong", "u", "\x1a", "ç"):  # an unknown key, an arrow, a paste, nothing to undo …
            terminal.press(keys, "disputed 1 of 3")
        terminal.press("c", "disputed 2 of 3")
        code, _ = terminal.end("\x03")
    assert code == 130
    assert "to resume" in terminal.raw
    assert verdicts(home) == {"correct": 2, "disputed": 2, "wrong": 4}
    with Terminal(home, "grade", "--review") as terminal:
        terminal.wait_for("disputed 1 of 2")
        assert terminal.end("\x04")[0] == 0


def test_without_a_terminal_it_is_told(home: Path) -> None:
    assert "terminal" in failure(run_nsad(home, "grade", "--review", stdin="ccc"), 2)[0]
    assert "--review" in failure(run_nsad(home, "grade", "--sample", "3"), 2)[2]
    assert "--sample" in failure(run_nsad(home, "grade", "--review", "--sample", "0"), 2)[1]
    assert verdicts(home) == {"correct": 1, "disputed": 3, "wrong": 4}


def test_nothing_to_review_is_said(home: Path) -> None:
    run = home / "runs" / "mine"
    with Store(run / "store.sqlite") as store:
        params = json.loads((run / "manifest.json").read_text())["stages"]["collect"]["result"]["params"]
        for label in store.reviews.labels(params):
            store.reviews.record(label.key, label.graded, ReviewSource.DISPUTED)
    with Terminal(home, "grade", "--review") as terminal:
        assert terminal.end("")[0] == 0
    assert "no draw is disputed" in terminal.raw


LINES = st.text("a \n", max_size=400)


@given(
    st.text(max_size=400) | LINES,
    st.text(max_size=2000) | LINES,
    st.text(max_size=200),
    st.integers(20, 120),
    st.integers(12, 50) | st.none(),
)
@example("a\n" * 50, "a\n" * 50, "a b " * 50, 20, 12)
def test_any_text_is_harmless_and_fits(question: str, text: str, answer: str, width: int, height: int | None) -> None:
    problem = Problem("p", question, answer, "test", subject=answer, level=question)
    doubt = ReviewItem(problem, "teacher\x1b[0m", text, answer, answer)
    lines = screen(QueuedReview(1, ReviewSource.DISPUTED, 3, 41), doubt, width, height)
    assert height is None or len(lines) <= height
    assert all(line.cell_len <= width for line in lines)
    steering = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not [char for line in lines for char in line.plain if unicodedata.category(char) in steering]
    assert lines[0].plain.startswith("disputed 3 of 41")
