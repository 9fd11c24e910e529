"""The world of slips: the plan and the numbers of a wrong solution are right, and one calculation or copy is not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.grading.checker import Checker
from nsad_cli.grading.step_checks import check_steps
from nsad_cli.grading.verdicts import grade_texts
from nsad_cli.problems import arithmetic, student_slips
from nsad_cli.types import Finish, Verdict

SEEDS = st.integers(0, 10**6)


@given(SEEDS, st.integers(0, 200))
def test_a_wrong_draw_has_one_slip_and_the_right_plan(seed: int, draw: int) -> None:
    item = arithmetic.exercise(f"{seed}")
    text, slip = student_slips.solve(item.question, draw)
    assert student_slips.solve(item.question, draw) == (text, slip)
    with Checker() as checker:
        grade = grade_texts([(text, str(item.answer), Finish.STOP)], checker)[0]
    assert grade.verdict is (Verdict.CORRECT if slip is None else Verdict.WRONG)
    written = re.findall(r"(\d+) ([-+*]) (\d+) = (\d+)\.", text)
    assert [(sign, int(number)) for _, sign, number, _ in written] == [(s.operation, s.number) for s in item.steps]
    before = [str(item.start), *(result for *_, result in written)]
    copied_wrongly = sum(left != value for (left, *_), value in zip(written, before, strict=False))
    checks = check_steps(text)
    assert checks.checked == len(item.steps)
    wrong_steps = checks.checked - checks.right
    if slip is None:
        assert (wrong_steps, copied_wrongly) == (0, 0)
    else:
        assert (wrong_steps, copied_wrongly) == ((0, 1) if slip == "wrong copy" else (1, 0))
    assert text.endswith(f"The answer is {before[-1]}.")


@given(SEEDS)
def test_every_slip_changes_the_answer_and_no_value_is_negative(seed: int) -> None:
    item = arithmetic.exercise(f"{seed}")
    found = student_slips.slips(arithmetic.equations(item.start, item.steps))
    assert {"off by one", "off by ten", "wrong digit", "wrong copy"} <= set(found) <= set(student_slips.SLIP_KINDS)
    for written in (written for versions in found.values() for written in versions):
        assert written[-1][2] != item.answer
        assert min(min(left, result) for left, _, result in written) >= 0


@pytest.mark.parametrize(
    ("start", "step", "kind", "results"),
    [
        (27, arithmetic.Step("+", 15), "carry or borrow", {32}),
        (42, arithmetic.Step("-", 17), "carry or borrow", {35}),
        (52, arithmetic.Step("-", 18), "carry or borrow", {44, 46}),
        (17, arithmetic.Step("*", 3), "wrong product", {34, 68, 31}),
        (23, arithmetic.Step("+", 5), "off by ten", {18, 38}),
        (23, arithmetic.Step("+", 5), "wrong digit", {18, 38, 48, 26, 27, 29, 82}),
    ],
)
def test_slips_by_hand(start: int, step: arithmetic.Step, kind: str, results: set[int]) -> None:
    found = student_slips.slips(arithmetic.equations(start, (step,)))
    assert {written[-1][2] for written in found[kind]} == results


def test_every_slip_happens_and_three_draws_in_five_are_right() -> None:
    slips = [student_slips.solve(p.question, draw)[1] for p in arithmetic.problems("train", 300) for draw in range(5)]
    assert set(slips) == {None, *student_slips.SLIP_KINDS}
    assert 0.55 < slips.count(None) / len(slips) < 0.65


def test_other_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="not one of"):
        student_slips.solve("How many legs has a horse?", 0)
