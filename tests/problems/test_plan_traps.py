"""The world of traps of plan: disjoint splits, right solutions that are right, wrong ones whose arithmetic is right."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.grading.checker import Checker
from nsad_cli.grading.step_checks import check_steps
from nsad_cli.grading.verdicts import grade_texts
from nsad_cli.problems import plan_traps
from nsad_cli.problems.arithmetic import NAMES
from nsad_cli.problems.plan_trap_stories import KINDS, STORIES, Story
from nsad_cli.problems.wordings import choose, fill, read
from nsad_cli.types import Finish, Verdict

SEEDS = st.integers(0, 10**6)
DRAWS = st.integers(0, 200)


def verdict(text: str, gold: str) -> Verdict:
    with Checker() as checker:
        return grade_texts([(text, gold, Finish.STOP)], checker)[0].verdict


def test_splits_never_meet_and_are_large() -> None:
    ids = {split: {problem.id for problem in plan_traps.problems(split)} for split in plan_traps.SIZES}
    assert {split: len(found) for split, found in ids.items()} == {"train": 2000, "test": 600, "confirm": 600}
    assert len(set.union(*ids.values())) == 3200


def test_more_problems_keep_the_first_ones() -> None:
    assert list(plan_traps.problems("confirm", 20)) == list(plan_traps.problems("confirm", 60))[:20]


def test_every_trap_is_frequent_and_every_story_is_told() -> None:
    problems = list(plan_traps.problems("train", 1000))
    subjects = [problem.subject for problem in problems]
    assert set(subjects) == set(KINDS)
    assert len(KINDS) >= 8
    assert min(map(subjects.count, KINDS)) > 50
    assert {problem.level for problem in problems} == {"2", "3", "4"}
    assert {plan_traps.parse(problem.question).story.question for problem in problems} == {
        story.question for story in STORIES
    }
    assert all(sum(story.kind == kind for story in STORIES) >= 3 for kind in KINDS)


@given(SEEDS, DRAWS)
def test_right_draws_are_right_and_wrong_ones_wrong_by_plan_alone(seed: int, draw: int) -> None:
    item = plan_traps.exercise(f"{seed}")
    text, trap = plan_traps.solve(item.question, draw)
    assert plan_traps.solve(item.question, draw) == (text, trap)
    assert verdict(text, str(item.answer)) is (Verdict.CORRECT if trap is None else Verdict.WRONG)
    assert trap in (None, item.story.kind)
    checks = check_steps(text)
    assert checks.checked == checks.right == text.count(" = ")
    assert "[" not in text + item.question
    assert "{" not in text + item.question


@given(SEEDS)
def test_reading_a_question_back(seed: int) -> None:
    item = plan_traps.exercise(f"{seed}")
    assert plan_traps.parse(item.question) == item
    assert [story for story in STORIES if read(story.question, item.question) is not None] == [item.story]


@given(SEEDS)
def test_numbers_are_small_and_names_are_different_people(seed: int) -> None:
    item = plan_traps.exercise(f"{seed}")
    numbers = [int(number) for number in re.findall(r"\d+", item.question)]
    assert len(set(numbers)) == len(numbers)
    assert max(*numbers, item.answer) <= plan_traps.MAX_VALUE
    people = [item.slots[name] for name in "pqr" if name in item.slots]
    assert len(set(people)) == len(people)
    assert set(people) <= set(NAMES)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.question[:60])
def test_every_wording_of_a_story_is_graded_as_it_is_meant(story: Story) -> None:
    """Every solution's template, not only those that random draws find."""
    seeds = (f"{seed}" for seed in range(100_000))
    item = next(found for found in map(plan_traps.exercise, seeds) if found.story is story)
    for template in (story.right, *story.wrong):
        texts = {fill(choose(template, random.Random(seed)), item.slots) for seed in range(30)}
        wanted = Verdict.CORRECT if template is story.right else Verdict.WRONG
        with Checker() as checker:
            grades = grade_texts([(text, str(item.answer), Finish.STOP) for text in texts], checker)
        assert {grade.verdict for grade in grades} == {wanted}
        assert all(check_steps(text).right == text.count(" = ") for text in texts)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.question[:60])
def test_a_trap_uses_the_numbers_of_its_question(story: Story) -> None:
    """Slots of solutions are slots of the question, or results; right solutions have two to four steps."""
    for template in (story.right, *story.wrong):
        result_slots = set(re.findall(r"= \{(\w)\}", template))
        used = set(re.findall(r"\{(\w)\}", template)) - result_slots
        assert used <= set(re.findall(r"\{(\w)\}", story.question))
    assert 2 <= story.right.count(" = ") <= 4


def test_a_reference_solution_is_right() -> None:
    problems = list(plan_traps.problems("test", 200))
    with Checker() as checker:
        grades = grade_texts([(item.solution or "", item.answer, Finish.STOP) for item in problems], checker)
    assert {grade.verdict for grade in grades} == {Verdict.CORRECT}
    assert all(item.level == str((item.solution or "").count(" = ")) for item in problems)


def test_three_draws_in_five_are_right() -> None:
    traps = [plan_traps.solve(p.question, draw)[1] for p in plan_traps.problems("train", 300) for draw in range(5)]
    assert 0.55 < traps.count(None) / len(traps) < 0.65
    assert set(traps) == {None, *KINDS}


def test_other_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="not one of the problems of arithmetic:plan-traps"):
        plan_traps.solve("Ana has 5 apples. Ana gets 3 more apples. How many apples does Ana have now?", 0)
