"""The reader of equalities in chains: what it checks, what it leaves alone, and where the first wrong step is."""

from __future__ import annotations

import operator
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.grading.step_checks import MAX_CHARS, StepChecks, check_steps, equalities

RIGHT = [
    "27 + 30 = 57",
    "27+30=<<27+30=57>>57",
    "x = 5 + 3 = 8",
    "$5 + $3 = $8",
    r"\$5.00 \times 2 = \$10.00",
    "20% of 50 = 10",
    "1/2 of 30 = 15",
    "50 * 20% = 10",
    "5 / 25 * 100 = 20%",
    "1 hour / 7 hours * 100% = 14%",
    "1/3 = 0.33",
    "2/3 = 0.67",
    r"\frac{1}{2} + \frac{1}{3} = \frac{5}{6}",
    r"\frac12 = 0.5",
    r"$\sqrt{16} + 1 = 5$",
    "5! = 120",
    "(5 + 3) * 2 = 16",
    "2^{10} = 1024",
    "3² = 9",
    r"10 \times 9 \times 8 \times 7 = \boxed{5,\!040}",
    "1,000 + 234 = 1,234",
    "3.14 * 4 ≈ 12.6",
    "100/5/2 = 10",
    "$5/hour * 3 hours = $15",
    "12 * 3 pens = 36 pens each",
    "3 x 4 = 12",
    "10 – 3 = 7",
    "1 1/2 + 1/2 = 2",
    r"2(3)^2 + 1 = 19",
    r"\left(\frac{-1+\sqrt{5}}{2}\right)^2=\frac{3-\sqrt{5}}{2}",
    "2 \\times 3 \\\\\n&= 6",
    "- 5 + 3 = 8",
    "1. 5 + 3 = 8",
    "4 × 60 minutes = 240 minutes",
]
WRONG = [
    "27 + 30 = 67",
    "x = 5 + 3 = 9",
    "$5 + $3 = $9",
    r"\frac{1}{2} + \frac{1}{3} = \frac{2}{5}",
    "P(A) = 3/5 = 0.7",
    "1. 5 + 4 = 10",
    "Ana has 3 pens and buys 4; 3 + 4 = 8.",
    "20% of 50 = 12",
    "3.14 * 4 ≈ 14",
    "1 tray x 2 trays = 48 eggs",
    r"17^4 = 4913",
    "12 x .5 = 5",
    "- 5 + 3 = 9",
    "So they get 6 - 2 = 3.",
    "a total of 5 + 3 = 9 pens",
]
UNCHECKED = [
    "",
    "2x + 3 = 7",
    "f(2) = 4 + 1",
    "a(2 + 1) = 6",
    r"AB\sqrt{3}/2 = 6",
    r"\frac{1}{2} AB = 4",
    "half of 20 + 5 = 15",
    "twice 3 + 4 = 14",
    "2 hours + 30 minutes = 150 minutes",
    "3 dozen + 4 = 40",
    "the sum of 5 and 3 + 2 = 10",
    "9 feet = 9 * 12",
    "10/3 = 3",
    "3.33 * 3 = 10",
    "28% - 0.5 = 27.5%",
    "11 = 4 mod 7",
    "3:30 + 1:20 = 4:50",
    "2 + 2 = 5?",
    "53 = 1 + 10^2 * 7, which is not true",
    "101_2 + 1 = 6",
    "5 + 3 = 8x",
    "5 + 3 ≠ 9",
    "5 + 3 -> 9",
    "1/0 = 5",
    "17 = 17",
]


@pytest.mark.parametrize("text", RIGHT)
def test_equalities_that_hold(text: str) -> None:
    checks = check_steps(text)
    assert checks.right == checks.checked >= 1, equalities(text)


@pytest.mark.parametrize("text", WRONG)
def test_equalities_that_do_not_hold(text: str) -> None:
    assert check_steps(text).first_wrong is not None, equalities(text)


@pytest.mark.parametrize("text", UNCHECKED)
def test_what_is_not_understood_whole_is_not_checked(text: str) -> None:
    assert check_steps(text) == StepChecks(), equalities(text)


def test_the_place_of_the_first_wrong_step() -> None:
    text = "First 2 + 3 = 5.\nThen 5 * 4 = 24 pens, and 24 - 4 = 19.\nThe answer is 19."
    checks = check_steps(text)
    assert (checks.checked, checks.right, checks.share) == (3, 1, 1 / 3)
    assert checks.first_wrong is not None
    start, end = checks.first_wrong
    assert text[start:end] == "5 * 4 = 24 pens"


def test_an_annotation_is_not_counted_twice() -> None:
    assert check_steps("6 + 2 = <<6+2=9>>9 pens") == StepChecks(1, 0, (10, 15))
    assert check_steps("6 + 2 = <<6+2=8>>8, 8 * 2 = <<8*2=16>>16").checked == 2


def test_a_chain_of_equalities_is_checked_link_by_link() -> None:
    checks = check_steps("12 - 5 = 7 - 2 = 5")  # a habit of pupils: the first link is wrong
    assert (checks.checked, checks.right) == (2, 1)


OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
NUMBERS = st.integers(1, 999)


@given(
    a=NUMBERS,
    b=NUMBERS,
    sign=st.sampled_from(sorted(OPERATORS)),
    apart=st.integers(1, 50),
    unit=st.sampled_from(["", " pens"]),
)
def test_any_binary_operation_is_decided(a: int, b: int, sign: str, apart: int, unit: str) -> None:
    value = Fraction(OPERATORS[sign](Fraction(a), Fraction(b)))
    if value.denominator > 1:
        assert check_steps(f"{a} {sign} {b} = {value}").right == 1
        return
    assert check_steps(f"So we get {a}{unit} {sign} {b} = {value}{unit}.") == StepChecks(1, 1)
    assert check_steps(f"So we get {a}{unit} {sign} {b} = {value + apart}{unit}.").right == 0


@given(st.text(alphabet="0123456789+-*/=()$%.,^x {}\\fracsqt!<>\n", max_size=120))
def test_any_text_is_read(text: str) -> None:
    checks = check_steps(text)
    assert 0 <= checks.right <= checks.checked
    assert (checks.first_wrong is None) == (checks.right == checks.checked)


@pytest.mark.parametrize(
    "text",
    [
        "1 + " * 5_000 + "1 = 2",
        "(" * 5_000 + "1" + ")" * 5_000 + " = 1",
        "9^9^9^9 = 1",
        "1 = " * 5_000,
        "2^{9999999} = 1",
        "= " * 9_000,
    ],
)
def test_hostile_texts_end_soon(text: str) -> None:
    started = time.process_time()
    check_steps(text)
    assert time.process_time() - started < 20  # seconds; a guard against exponential growth, not a benchmark


def test_only_the_beginning_of_a_text_is_read() -> None:
    assert check_steps(" " * MAX_CHARS + "1 + 1 = 3") == StepChecks()
