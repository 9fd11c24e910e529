"""A problem's id tells problems apart, and the same problem's statements apart from none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.pipeline.collect_stage import distinct
from nsad_cli.store.rationales import Store
from nsad_cli.store.records import ReviewSource
from nsad_cli.types import Draw, Problem, Verdict, problem_id
from tests.helpers.notes import recorded_notes

if TYPE_CHECKING:
    from pathlib import Path


def problem(question: str, answer: str) -> Problem:
    return Problem(problem_id(question), question, answer, "test")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How many integers are in [0,5]?", "How many integers are in (0,5)?"),
        ("What is 5!?", "What is 5?"),
        ("What is |-5|?", "What is -5?"),
        ("What is 2⁵?", "What is 25?"),
        ("Find {1,2}.", "Find (1,2)."),
    ],
)
def test_signs_make_problems_of_their_own(one: str, other: str) -> None:
    assert problem_id(one) != problem_id(other)


@given(st.text(alphabet="abcXYZ 12+-()|!", min_size=1))
def test_case_and_spaces_do_not(question: str) -> None:
    spaced = "  ".join(question.split())
    assert problem_id(question) == problem_id(question.upper()) == problem_id(f"\n{spaced} ")


def test_a_problem_stated_twice_counts_once_with_its_first_answer(tmp_path: Path) -> None:
    stated = [problem("one?", "1"), problem("two?", "2"), problem("One?", "11"), problem("two? ", "2")]
    told = recorded_notes()
    assert [item.answer for item in distinct(stated)] == ["1", "2"]
    assert told == ["2 repeated problems removed, 1 of them with another gold answer: the first one is used"]
    with Store(tmp_path / "store.sqlite") as store:
        store.add_problems(stated)
        store.add_draws([Draw(stated[0].id, "t", 0, "1")], "k")
        (drawn,) = store.verdicts.ungraded("none")
        store.reviews.record(drawn.key, Verdict.CORRECT, ReviewSource.DISPUTED)
        reviews = "SELECT COUNT(*) FROM reviews"
        store.add_problems(stated)
        assert store._db.execute(reviews).fetchone()[0] == 1, "no gold answer has changed"
        store.add_problems([problem("one?", "12")])
        assert store._db.execute(reviews).fetchone()[0] == 0
