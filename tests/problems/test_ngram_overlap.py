"""Overlaps of two sets of problems: what each test finds, and how many there are in the real benchmarks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.problems import load_problems
from nsad_cli.problems.arithmetic import problems as generated
from nsad_cli.problems.ngram_overlap import find_overlaps, without_numbers, word_runs
from nsad_cli.types import Problem, problem_id

if TYPE_CHECKING:
    from pathlib import Path

LONG = "On Monday the baker sells 14 loaves of bread and twice as many rolls before noon, then she goes home."


def problem(question: str) -> Problem:
    return Problem(problem_id(question), question, "1", "test")


def failed(training: str, evaluation: str) -> set[str]:
    """The tests that a question fails against another."""
    found = find_overlaps([problem(training)], [problem(evaluation)])
    return set(found[0].tests) if found else set()


@pytest.mark.parametrize(
    ("training", "evaluation", "expected"),
    [
        (LONG, LONG.upper(), {"same", "words", "numbers"}),
        (LONG, LONG.replace("14", "3,250"), {"words", "numbers"}),
        (f"Long ago: {LONG} How many?", LONG, {"words"}),
        ("What is 2 + 3?", "What is 17 + 4.5?", {"numbers"}),
        ("Tom has two cups.", "Tom has 31 cups.", {"numbers"}),
        ("Tom has twenty-five cups", "Tom has 31 cups.", {"numbers"}),
        ("What is 2 + 3?", "What is 2 * 3?", set()),
        ("Compute $x^2$.", "Compute x^3", {"numbers"}),
        ("Nina has someone to call.", "Nina has sometwo to call.", set()),
        ("?!", "...", set()),
    ],
)
def test_what_each_test_finds(training: str, evaluation: str, expected: set[str]) -> None:
    found = failed(training, evaluation)
    assert found - {"same"} == expected - {"same"}
    assert ("same" in found) == (problem_id(training) == problem_id(evaluation))


def test_thirteen_words_in_a_row_and_not_twelve() -> None:
    words = [f"w{chr(97 + i)}" for i in range(26)]
    run = " ".join(words[:13])
    assert list(word_runs(run)) == [run]
    assert list(word_runs(" ".join(words[:12]))) == []
    assert failed(f"xx {run} yy", f"zz {run}, then") == {"words"}
    assert failed(f"xx {run.rpartition(' ')[0]} yy", f"zz {run}, then") == set()


def test_the_code_of_figures_is_not_words() -> None:
    figure = "[asy] size(100); draw((0,0)--(10,0)--(10,10)--(0,10)--cycle); label(a, (0,0), SW); [/asy]"
    assert failed(f"Find the area.\n{figure}", f"What is the perimeter here?\n{figure}") == set()


words = st.sampled_from(["a", "b", "c", "1", "2", "three", "+", "(x)", ",", "."])
texts = st.lists(words, max_size=24).map(" ".join)


@given(st.lists(texts, max_size=4), st.lists(texts, max_size=4))
def test_it_finds_what_comparing_all_pairs_finds(one: list[str], other: list[str]) -> None:
    training, evaluation = [problem(text) for text in one], [problem(text) for text in other]
    found = find_overlaps(training, evaluation)
    expected = [
        item
        for item in training
        if any(
            item.id == test.id
            or (without_numbers(item.question) and without_numbers(item.question) == without_numbers(test.question))
            or set(word_runs(item.question)) & set(word_runs(test.question))
            for test in evaluation
        )
    ]
    assert [item.problem for item in found] == expected
    assert bool(found) == bool(find_overlaps(evaluation, training)), "it holds both ways"


@given(texts, st.integers(0, 10**6))
def test_other_numbers_change_nothing(text: str, number: int) -> None:
    assert without_numbers(re.sub(r"\d+", str(number), text)) == without_numbers(text)


def test_generated_problems_overlap_in_numbers_alone_and_never_are_the_same() -> None:
    found = find_overlaps(list(generated("train", 200)), list(generated("test", 100)))
    assert found
    assert not any("same" in item.tests for item in found)


@pytest.mark.parametrize(
    ("training", "evaluation", "overlaps", "same"),
    [
        ("gsm8k:train@{}/gsm8k", "gsm8k:test@{}/gsm8k", 4, 0),
        ("svamp@{}/svamp", "asdiv@{}/asdiv", 115, 0),
        ("multiarith@{}/multiarith", "svamp@{}/svamp", 0, 0),
        ("asdiv@{}/asdiv", "multiarith@{}/multiarith", 108, 59),
    ],
)
def test_real_benchmarks(data: Path, training: str, evaluation: str, overlaps: int, same: int) -> None:
    found = find_overlaps(load_problems(training.format(data)), load_problems(evaluation.format(data)))
    assert (len(found), sum("same" in item.tests for item in found)) == (overlaps, same)
