"""Tables stay readable in a terminal of 80 columns."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from nsad_cli.cli.render.tables import HEADINGS, ledger_table
from nsad_cli.types import Verdict

SUBJECTS = (
    "Algebra",
    "Counting & Probability",
    "Geometry",
    "Intermediate Algebra",
    "Number Theory",
    "Prealgebra",
    "Precalculus",
)


def printed(rows: list[dict[str, object]]) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    console.print(ledger_table(rows))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("verdicts", [list(HEADINGS)[:6], list(HEADINGS)])
def test_the_ledger_of_math_fits_into_80_columns(verdicts: list[str]) -> None:
    rows: list[dict[str, object]] = [
        {"teacher": "gpt-3.5-turbo", "subject": subject, "verdict": verdict, "draws": 10000 + i}
        for i, subject in enumerate(SUBJECTS)
        for verdict in verdicts
    ]
    lines = printed(rows)
    assert max(map(len, lines)) <= 80
    columns = [1] * 6 if len(verdicts) == 6 else [1, 1, 1, 1, 5]
    for i, subject in enumerate(SUBJECTS):
        (line,) = [line for line in lines if line.strip().startswith(subject)]
        assert line.removeprefix(f"   {subject}").split() == [str(n * (10000 + i)) for n in columns]
    (teacher,) = [line for line in lines if line.startswith(" gpt")]
    assert teacher.split()[1:] == [str(n * 70021) for n in columns]
    (share,) = [line for line in lines if line.startswith(" share")]
    assert share.split()[1:] == [f"{n / len(verdicts):.1%}" for n in columns]
    caption = " ".join(" ".join(lines).split())
    for verdict in ("truncated", "filtered", "bad_gold", "timeout", "ungraded"):
        assert (f"70021 {verdict} (11.1%)" in caption) == (len(verdicts) > 6)


def test_the_ledger_names_every_verdict() -> None:
    assert set(HEADINGS) == {verdict.value for verdict in Verdict} | {"ungraded"}


def test_teachers_are_told_apart_and_added_up() -> None:
    rows: list[dict[str, object]] = [
        {"teacher": "[b]", "subject": "", "verdict": "correct", "draws": 9999},
        {"teacher": "two\x1b[31m", "subject": "", "verdict": "wrong", "draws": 1},
    ]
    lines = [line.split() for line in printed(rows)]
    assert ["[b]", "9999", "0"] in lines
    assert ["two\\x1b[31m", "0", "1"] in lines
    assert ["all", "9999", "1"] in lines
    assert ["share", "100.0%", "<0.1%"] in lines
    assert printed([])


@pytest.mark.parametrize("verdicts", [list(HEADINGS)[:2], list(HEADINGS)])
def test_right_answers_with_a_wrong_step_are_counted_by_row(verdicts: list[str]) -> None:
    rows: list[dict[str, object]] = [
        {
            "teacher": teacher,
            "subject": subject,
            "verdict": verdict,
            "draws": 100,
            "right_with_wrong_step": 1 + i if verdict == "correct" else 0,
        }
        for teacher in ("one", "two")
        for i, subject in enumerate(SUBJECTS)
        for verdict in verdicts
    ]
    lines = printed(rows)
    assert max(map(len, lines)) <= 80
    if len(verdicts) == 2:
        numbers = {
            " ".join(line.split()[:-3]): line.split()[-3:] for line in lines if re.search(r" \d+ +\d+ +\d+$", line)
        }
        for i, subject in enumerate(SUBJECTS):
            assert numbers[subject] == ["100", "100", str(1 + i)]
        assert numbers["one"] == numbers["two"] == ["700", "700", "28"]
        assert numbers["all"] == ["1400", "1400", "56"]
    assert "56 of 1400 right answers have a wrong step (4.0%)" in lines


def test_a_ledger_of_an_earlier_version_has_no_such_line() -> None:
    lines = printed([{"teacher": "one", "subject": "", "verdict": "correct", "draws": 1}])
    assert not any("step" in line for line in lines)


def test_a_narrow_ledger_keeps_its_numbers_whole() -> None:
    console = Console(file=io.StringIO(), width=40)
    console.print(
        ledger_table(
            [
                {"teacher": "one", "subject": "Algebra", "verdict": verdict, "draws": 10000, "right_with_wrong_step": 7}
                for verdict in list(HEADINGS)[:6]
            ]
        )
    )
    assert isinstance(console.file, io.StringIO)
    text = " ".join(console.file.getvalue().split())
    assert "truncated 10000 filtered 10000" in text
    assert "wrong step" in text
