"""The built-in world: disjoint splits, right solutions that are right, slips that are real."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.grading.extract import extract
from nsad_cli.problems import arithmetic


def test_splits_never_meet() -> None:
    train = {problem.id for problem in arithmetic.problems("train", 2000)}
    test = {problem.id for problem in arithmetic.problems("test", 500)}
    assert len(train) == 2000
    assert len(test) == 500
    assert not train & test


def test_the_problems_for_a_second_test_follow_those_of_the_first() -> None:
    both = list(arithmetic.problems("test", 300))
    more = list(arithmetic.problems("confirm", 200))
    assert [problem.id for problem in more] == [problem.id for problem in both[100:]]
    assert {problem.split for problem in more} == {"confirm"}


def test_more_problems_keep_the_first_ones() -> None:
    assert list(arithmetic.problems("train", 50)) == list(arithmetic.problems("train", 200))[:50]


def equations_hold(text: str) -> bool:
    found = re.findall(r"(\d+) ([-+*]) (\d+) = (\d+)", text)
    apply = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}
    return all(apply[sign](int(a), int(b)) == int(c) for a, sign, b, c in found)


@given(st.integers(0, 399), st.integers(0, 50))
def test_right_draws_are_right_and_wrong_ones_wrong(index: int, draw: int) -> None:
    problem = list(arithmetic.problems("train"))[index]
    text, slip = arithmetic.solve(problem.question, draw)
    assert arithmetic.solve(problem.question, draw) == (text, slip)
    assert (extract(text).answer == problem.answer) == (slip is None)
    assert 1 <= int(problem.answer) <= 200
    if slip is None:
        assert equations_hold(text)
        numbers = set(re.findall(r"\d+", problem.question))
        assert numbers <= set(re.findall(r"\d+", text))
    if slip == "arithmetic error":
        assert not equations_hold(text)
    if slip in ("dropped step", "misread number"):
        assert equations_hold(text)


def test_every_slip_happens_and_three_draws_in_five_are_right() -> None:
    slips = [arithmetic.solve(p.question, draw)[1] for p in arithmetic.problems("train", 200) for draw in range(5)]
    assert set(slips) == {None, *arithmetic.ERROR_KINDS}
    assert 0.55 < slips.count(None) / len(slips) < 0.65


def test_reading_a_question_back() -> None:
    for problem in arithmetic.problems("test", 100):
        assert str(arithmetic.parse(problem.question).answer) == problem.answer
    with pytest.raises(ValueError, match="not one of"):
        arithmetic.solve("How many legs has a horse?", 0)
