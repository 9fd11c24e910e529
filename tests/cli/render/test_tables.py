"""Tables stay readable in a terminal of 80 columns."""

from __future__ import annotations

import io

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
