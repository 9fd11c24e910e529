"""Cheap deciders: what they prove, what they leave open, and their laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.answers.equivalence import decide, normalise, number

SAME = [
    ("1/2", r"\frac{1}{2}"),
    (r"\frac12", r"\dfrac{1}{2}"),
    ("0.5", ".5"),
    ("0.5", "1/2"),
    ("1,000", "1000"),
    ("10,\\!000", "10000"),
    (r"50\%", "50"),
    (r"\$18", "18"),
    ("18.0", "18"),
    ("x=5", "5"),
    (r"90^\circ", "90"),
    (r"12\text{ cm}", "12"),
    (r"\text{Yes}", "yes"),
    ("18 apples", "18"),
    ("(1,2)", "( 1 , 2 )"),
    (r"\left(1,2\right)", "(1,2)"),
    (r"2\sqrt3", r"2\sqrt{3}"),
    ("1 1/2", "3/2"),
    (r"1\frac{1}{2}", "1.5"),
    ("x^{2}", "x^2"),
    ("$7$", "7"),
    ("7.", "7"),
    (r"-\frac{3}{6}", "-0.5"),
    ("−4", "-4"),
]
DIFFERENT = [
    ("5", "7"),
    ("1/2", "2"),
    ("even", "odd"),
    ("yajo", "yaja"),
    ("1,000", "1"),
    ("0", "5"),
    ("(1,2)", "(2,1)"),
]
OPEN = [("x+1", "1+x"), ("(0.3333,1)", "(1/3,1)"), ("0.3333", "1/3"), ("1000", "1001"), ("3:4", "0.75"), ("50%", "0.5")]


@pytest.mark.parametrize(("a", "b"), SAME)
def test_proves_equal(a: str, b: str) -> None:
    assert decide(a, b) is True and decide(b, a) is True


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_proves_different(a: str, b: str) -> None:
    assert decide(a, b) is False and decide(b, a) is False


@pytest.mark.parametrize(("a", "b"), OPEN)
def test_leaves_open_what_strings_and_numbers_cannot_prove(a: str, b: str) -> None:
    assert decide(a, b) is None and decide(b, a) is None


@pytest.mark.parametrize(
    "text", ["9**9**9**9", "1/0", r"\frac{1}{0}", "١٢", "²", "1e999999999", "9" * 5000, "{" * 10000]
)
def test_hostile_answers_are_no_numbers_or_plain_ones(text: str) -> None:
    assert number(normalise(text[:400])) is None or text.startswith("9")
    assert decide(text, "5") in (None, False)


@given(st.text(max_size=60))
def test_reflexive(text: str) -> None:
    assert decide(text, text) is True


ANSWERS = st.one_of(
    st.text(max_size=20),
    st.from_regex(r"-?\d{1,4}(\.\d{1,3})?%?", fullmatch=True),
    st.from_regex(r"\\?[df]?frac\{?\d\}?\{?\d\}?", fullmatch=True),
    st.from_regex(r"\d{1,3}(,\d{3})? ?(cm|apples|\\text\{ m\})?", fullmatch=True),
)


@given(ANSWERS, ANSWERS)
def test_symmetric(a: str, b: str) -> None:
    assert decide(a, b) == decide(b, a)


@given(st.integers(-10_000, 10_000), st.integers(1, 500))
def test_fractions_are_exact(top: int, bottom: int) -> None:
    assert decide(f"{top}/{bottom}", rf"\frac{{{2 * top}}}{{{2 * bottom}}}") is True
