"""Marked steps: the line about them, and the mark in rendered text."""

from __future__ import annotations

import pytest

from nsad_cli.grading.marked_steps import CLOSE, OPEN, checked_steps, marked_parts, steps_json, steps_line
from nsad_cli.utils.terminal_text import escape_controls, render_latex


def shown(text: str) -> str:
    return escape_controls(render_latex(text))


def marked(text: str) -> str:
    return "".join(part for part, _ in marked_parts(text, checked_steps(text).first_wrong, shown))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 + 3 = 5, 5 * 4 = 24, 24 + 1 = 26", "checked steps: 1 of 3 right; first wrong: `5 * 4 = 24`"),
        ("2 + 3 = 5", "checked steps: 1 of 1 right"),
        ("It is five.", ""),
        (r"\frac{1}{2} + \frac{1}{2} = 3", "checked steps: 0 of 1 right; first wrong: `1/2 + 1/2 = 3`"),
        ("2 + 3\n= 6", "checked steps: 0 of 1 right; first wrong: `2 + 3 = 6`"),
    ],
)
def test_the_line_about_the_steps(text: str, expected: str) -> None:
    assert steps_line(text) == expected


def test_a_long_step_is_cut() -> None:
    line = steps_line(" + ".join(["1000000"] * 15) + " = 7")
    assert line.endswith("…`")
    assert len(line) < 120


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("So 5 * 4 = 24 pens.", f"So {OPEN}5 * 4 = 24 pens{CLOSE}."),
        (r"So $5 \times 4 = 24$ holds", f"So {OPEN}$5 × 4 = 24$ holds{CLOSE}"),
        (r"\frac{1}{2} + \frac{1}{2} = 3", f"{OPEN}1/2 + 1/2 = 3{CLOSE}"),
        ("It is 5 * <<5*4=24>>24.", f"It is 5 * <<{OPEN}5*4=24{CLOSE}>>24."),
        ("2 + 2 = 5 \x1b[2J", f"{OPEN}2 + 2 = 5{CLOSE} \\x1b[2J"),
        ("2 + 2 = 4", "2 + 2 = 4"),
        ("\U000f5a00 2 + 2 = 5", "\U000f5a00 2 + 2 = 5"),
    ],
)
def test_the_first_wrong_step_is_put_between_marks(text: str, expected: str) -> None:
    assert marked(text) == expected


@pytest.mark.parametrize("place", [(-5, -1), (-5, 0), (7, 9), (99, 120), None])
def test_a_place_outside_the_text_marks_nothing(place: tuple[int, int] | None) -> None:
    assert marked_parts("1+1=3. ", place, shown) == [("1+1=3. ", False)]


def test_a_place_that_reaches_out_of_the_text_marks_the_part_inside() -> None:
    parts = marked_parts("24 pens", (-6, 3), shown)
    assert parts == [("", False), (f"{OPEN}24{CLOSE}", True), (" pens", False)]


def test_a_mark_that_the_renderer_swallows_is_left_out() -> None:
    assert marked_parts("1+1=3", (0, 5), lambda text: text.strip("\U000f5a00")) == [("1+1=3\U000f5a01"[:5], False)]


def test_for_programs() -> None:
    assert steps_json("1 + 1 = 2, 1 + 1 = 3") == {"checked": 2, "right": 1, "first_wrong": [11, 20]}
    assert steps_json("") == {"checked": 0, "right": 0, "first_wrong": None}
