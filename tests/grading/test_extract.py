"""Reading answers out of text."""

from __future__ import annotations

import pytest

from nsad_cli.grading.extract import Marker, extract
from nsad_cli.utils.latex import last_boxed


@pytest.mark.parametrize(
    ("text", "answer", "marker"),
    [
        (r"so $x = \boxed{\frac{1}{2}}$.", r"\frac{1}{2}", Marker.BOXED),
        (r"\boxed{\text{a}\{b\}} and done", r"\text{a}\{b\}", Marker.BOXED),
        (r"\fbox{7}", "7", Marker.BOXED),
        (r"the result is $\boxed 5$", "5", Marker.BOXED),
        ("He has 3 + 4 = 7.\n#### 7", "7", Marker.HASH),
        ("She pays 18 dollars.\nA: 18", "18", Marker.A_LINE),
        ("2 + 2 = 4. The answer is 4.", "4", Marker.PHRASE),
        ("The final answer is: $\\frac{3}{4}$. I hope so.", r"\frac{3}{4}", Marker.PHRASE),
        ("Therefore, the answer is 3.14", "3.14", Marker.PHRASE),
        ("The answer is (1, 2).", "(1, 2)", Marker.PHRASE),
        ("The answer is 1,234 apples.", "1,234 apples", Marker.PHRASE),
        ("The answer is yajo.", "yajo", Marker.PHRASE),
        ("First 12, then 30 more make 42", "42", Marker.LAST_NUMBER),
        ("It costs -3.5", "-3.5", Marker.LAST_NUMBER),
        ("nothing here", None, None),
        ("", None, None),
        (r"cut off in \boxed{1 + ", "1", Marker.LAST_NUMBER),
    ],
)
def test_markers(text: str, answer: str | None, marker: Marker | None) -> None:
    found = extract(text)
    assert (found.answer, found.marker) == (answer, marker)


def test_the_last_explicit_answer_counts_and_earlier_different_ones_are_told() -> None:
    found = extract("The answer is 4. No: the answer is 5.\n#### 5")
    assert (found.answer, found.marker, found.others) == ("5", Marker.HASH, ("4",))


def test_a_box_inside_a_phrase_is_read_once() -> None:
    assert extract(r"The answer is $\boxed{12}$.").others == ()


def test_last_boxed() -> None:
    assert last_boxed(r"\boxed{1} then \boxed{2^{10}}") == "2^{10}"
    assert last_boxed("none") is None


def test_hostile_text_ends() -> None:
    assert extract("{" * 1_000_000 + r"\boxed{" * 2_000).answer is None
    assert extract("9" * 100_000).marker is None or len(extract("9" * 100_000).answer or "") == 100_000


def test_the_prompts_own_words_are_no_answer() -> None:
    """Small models repeat what they were told to write."""
    told = "Solve this step by step, briefly. End with one line of the form: The answer is X."
    assert extract(told).answer is None
    assert extract(f"{told}\n2 + 3 = 5\nThe answer is 5.").answer == "5"
    assert extract("It is a number of the form 4k. The answer is 8.").answer == "8"
