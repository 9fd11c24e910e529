"""Whether two answers are the same, kind by kind: what is proved, what is left open, and the laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.grading.checker import Checker, Equivalence
from nsad_cli.grading.equivalence.decide import decide
from nsad_cli.grading.equivalence.decision import Decision
from nsad_cli.grading.equivalence.exact_values import number
from nsad_cli.grading.equivalence.normalise import normalise

SAME = {
    "fractions": [
        ("1/2", r"\frac{1}{2}"),
        (r"\frac12", r"\dfrac{1}{2}"),
        (r"\frac1{2}", r"\tfrac{1}2"),
        (r"-\frac{3}{6}", "-0.5"),
        (r"\frac{-1}{2}", r"-\frac{1}{2}"),
        (r"\frac{2}{4}", "1/2"),
        (r"\frac{3744}{2,\!598,\!960}", r"\frac{6}{4165}"),
        (r"0.\overline{3}", r"\frac{1}{3}"),
        (r"11.\overline{6}", r"\frac{35}{3}"),
        (r"\frac\pi2", r"\frac{\pi}{2}"),
    ],
    "decimals": [("0.5", ".5"), ("18.0", "18"), ("7.", "7"), ("0.50", "1/2"), ("−4", "-4"), ("+3", "3")],
    "mixed numbers": [("1 1/2", "3/2"), (r"1\frac{1}{2}", "3/2"), (r"2\frac34", "2.75"), (r"-1\frac{1}{2}", "-3/2")],
    "thousands": [
        ("1,000", "1000"),
        (r"10,\!000", "10000"),
        (r"1{,}234{,}567", "1234567"),
        ("10 000", "10000"),
        ("1,234.50", "1234.5"),
    ],
    "money": [
        (r"\$18", "18"),
        (r"\$1{,}000", "1000"),
        ("$18.50", "18.5"),
        (r"\$3.50", "3.5 dollars"),
        ("18 USD", "18"),
        ("€7", "7"),
        ("50 cents", "50"),
        ("50 cents", r"\$0.50"),
        (r"80\text{ cents}", "80"),
    ],
    "percent": [(r"50\%", "50"), (r"50\%", "0.5"), ("50%", r"\frac{1}{2}"), ("20 percent", "20"), ("12.5%", "0.125")],
    "degrees": [
        (r"90^\circ", "90"),
        (r"90^{\circ}", "90 degrees"),
        ("90°", "90"),
        (r"\frac{270^\circ}{7}", r"\frac{270}{7}"),
        (r"(6, 235^\circ)", r"\left( 6, 235^\circ \right)"),
    ],
    "units": [
        (r"12\text{ cm}", "12"),
        ("18 apples", "18"),
        (r"5\text{ cm}^2", "5"),
        ("36 square inches", r"36\text{ square inches}"),
        ("2400 cm^2", r"2400 \mbox{ cm}^2"),
        ("12 miles per hour", "12"),
        (r"\frac{2}{15} gallons of milk", r"\frac{2}{15}"),
        (r"2\pi\text{ m}", r"2\pi"),
        ("5 feet", "60 inches"),
        ("2 hours", r"120\text{ minutes}"),
        ("1.5 kg", "1500 g"),
        ("64ft^2", "64"),
        (r"7\text{ hours}.", "7"),
        ("5 million", "5,000,000"),
        ("3 dozen", "36"),
    ],
    "x =": [
        ("x=5", "5"),
        (r"x = \frac{1}{2}", "1/2"),
        ("f(x) = 2x+1", "2x+1"),
        (r"f^{-1}(x) = \frac{4-x}{5}", r"\frac{4-x}{5}"),
        (r"x \in [1,2]", "[1,2]"),
        ("2^8 = 256", "256"),
        ("18 - 2 + 1 = 17", "17"),
        ("x=1, y=2", "y=2, x=1"),
        ("x=2, x=3", "3,2"),
        ("x = 2 \\text{ or } x = 3", "2,3"),
    ],
    "bases": [("110_2", "110_{2}"), ("1011", "1011_2"), ("066_{8}", "66_8"), (r"\text{A5}_{11}", "A5_{11}")],
    "choices": [
        (r"\text{(C)}", "C"),
        ("(c)", r"\text{(C)}"),
        (r"\textbf{(D)}\ 1239", "1239"),
        (r"\text{(B) circle}", r"\text{(B)}"),
        (r"\text{B. } x^2", "B"),
        (r"\text{(E)},", r"\text{E}"),
    ],
    "text": [
        (r"\text{Yes}", "yes"),
        (r"\text{October 30}", "October 30th"),
        ("four", "4"),
        (r"28^{\text{th}}", "28"),
        ("A,B,E", r"\text{A, B, E}"),
        (r"\text{H, E}", r"\text{E}, \text{H}"),
        ("3 and 4", "3,4"),
        (r"6, 8, \text{ and } 10", "6,8,10"),
    ],
    "tuples": [
        ("(1,2)", "( 1 , 2 )"),
        (r"\left(1,2\right)", "(1,2)"),
        (r"(0.5,1)", r"\left(\frac12,1\right)"),
        ("2,3", "(2,3)"),
        ("(1000,2)", "(1000, 2)"),
        (r"\left( 2, \pi - \frac{2 \pi}{9} \right)", r"(2, \frac{7\pi}{9})"),
    ],
    "lists and sets": [
        ("-11, 5", r"5,\,-11"),
        (r"\{1,2\}", r"\{2,1\}"),
        ("1,2", r"\{1,2\}"),
        (r"\pm 2", "-2,2"),
        (r"1 \pm \sqrt{2}", r"1-\sqrt{2}, 1+\sqrt{2}"),
        (r"\varnothing", r"\emptyset"),
        ("(1,2), (3,4)", "(3,4), (1,2)"),
    ],
    "intervals": [
        (r"(-\infty,3]\cup[4,\infty)", r"[4,\infty)\cup(-\infty,3]"),
        (r"[4,+\infty)", r"[4,\infty)"),
        (r"(0,1]\cup(1,2)", "(0,2)"),
        (r"\left[0.5,2\right)", r"[\frac12,2)"),
        (r"x<-1 \text{ or } x>4", r"(-\infty,-1)\cup(4,\infty)"),
        (r"-3 \leq x < 2", "[-3,2)"),
        (r"\mathbb{R}", r"(-\infty,\infty)"),
    ],
    "matrices": [
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{bmatrix}1&2\\3&4\end{bmatrix}"),
        (r"\begin{pmatrix} 1/2 \\ 3 \end{pmatrix}", r"\begin{pmatrix} \frac{1}{2} \\[6pt] 3 \end{pmatrix}"),
        (r"\begin{pmatrix} -\sqrt{3}/2 \\ 1 \end{pmatrix}", r"\begin{pmatrix} -\frac{\sqrt{3}}{2} \\ 1 \end{pmatrix}"),
    ],
    "formulas": [
        (r"2\sqrt3", r"2\sqrt{3}"),
        (r"\sqrt{8}", r"2\sqrt{2}"),
        ("x^{2}", "x^2"),
        ("x^12", "x^{12}"),
        ("x+1", "1+x"),
        ("(t+7)(t-7)", "t^2-49"),
        (r"\frac{3c+18}{7}", r"\frac{3(c+6)}{7}"),
        (r"\frac{9\pi}{4}", r"\frac94\pi"),
        ("5!", "120"),
        (r"\binom{5}{2}", "10"),
        (r"3 \times 10^5", "300000"),
        (r"\frac{-1}{13} - \frac{5}{13}i", r"-\frac{1+5i}{13}"),
        (r"\frac{2}{\cos x}", r"2 \sec x"),
        (r"\tan 45^\circ", "1"),
        (r"|2\pi-7|", r"7-2\pi"),
        ("$7$", "7"),
        ("x - y + 1 = 0", "2x - 2y + 2 = 0"),
        ("1:2", r"\frac12"),
        (r"2e^{i\pi/3}", r"1+i\sqrt{3}"),
        (r"\sqrt{2} \operatorname{cis} 45^\circ", "1+i"),
        ("-3(x - 2)^2 + 4 = y", "-3x^2+12x-8"),
    ],
    "times": [("2:30 PM", "14:30"), ("3:30", "3:30 p.m."), (r"4\!:\!51\!:\!06 \text{ p.m.}", "16:51:06")],
}
DIFFERENT = {
    "numbers": [("5", "7"), ("1/2", "2"), ("1,000", "1"), ("0", "5"), ("1000", "1001"), ("-3", "3")],
    "fractions": [(r"\frac{1}{2}", r"\frac{1}{3}"), ("1/2", "11/2"), (r"1\frac12", r"\frac{1}{2}")],
    "percent": [("50%", "0.6"), ("50%", "5"), ("50%", "60%")],
    "money": [(r"\$1.05", r"\$1.06"), (r"\$1{,}000", "100")],
    "units": [
        ("18 square feet", "17"),
        ("5 feet", "61 inches"),
        (r"12\text{ cm}", "13"),
        (r"12\text{ pi}", "12"),
        ("5 - cd", "5"),
        ("3 + d", "3"),
    ],
    "bases": [("10_2", "10_3"), ("10_2", "5"), ("110_2", "111_2"), ("11_8", "-37_8")],
    "choices": [("(A)", "(B)"), (r"\textbf{(D)}\ 98", "100"), ("(A)", "B"), (r"\text{B}", r"\text{B,E}")],
    "text": [("even", "odd"), ("yajo", "yaja"), ("no", "yes"), (r"\text{undefined}", r"\frac13"), ("four", "24")],
    "tuples": [("(1,2)", "(2,1)"), ("(3,4)", "(2,3)"), ("(1,2,3)", "(1,2)"), ("5", "(5,0)"), ("3,4", "(2,3)")],
    "lists": [("1,2", "1,3"), ("2", "2,-2"), (r"\pm 2", "2"), ("1,2,3", "1,2")],
    "intervals": [
        ("(1,2]", "[1,2]"),
        (r"(-\infty,3)", r"(-\infty,3]"),
        (r"[4,\infty)", r"(-\infty,3]\cup[4,\infty)"),
        ("[8,12)", "4"),
        (r"x \leq -1", r"(-\infty,-1)"),
        (r"\infty", "5"),
        (r"\infty", r"-\infty"),
    ],
    "matrices": [
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix} 1 & 2 \\ 3 & 5 \end{pmatrix}"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}"),
        (r"\begin{pmatrix} 1 & -1 \\ 1 & \phantom -1 \end{pmatrix}", "-1"),
    ],
    "formulas": [
        ("x+1", "x+2"),
        (r"\sqrt{2}", r"\sqrt{3}"),
        ("x^{12}", "12x"),
        (r"2007 + \frac\pi 2", "2"),
        ("2 + ab", "2"),
        ("2x - y = 3", "2x + y = 3"),
        (r"\tan x = x", r"\tan x = 2x"),
        ("x^2 + y^2 = 1", r"x^2 + \frac{1}{2}y^2 = 1"),
        (r"\sin x", r"\cos x"),
        ("1:3", "1:4"),
    ],
    "times": [("3:30 a.m.", "3:30 p.m."), ("2:30", "2:31")],
}
NEVER_DIFFERENT = [
    ("0.3333", "1/3"),
    ("25.67", r"\frac{77}{3}"),
    (r"3.14", r"\pi"),
    ("(0.3333,1)", "(1/3,1)"),
    ("10_2", "2"),
    ("110_2", "6_{10}"),
    ("5 feet", "60"),
    (r"\$1.06", "106"),
    ("5 m", "5 cm"),
    ("5m", "5"),
    ("2n", "2k"),
    ("x = 3/2", "y = 3/2"),
    (r"\frac{\pi}{2}", r"90^\circ"),
    (r"\text{(D)}", "1239"),
    ("3", r"\text{(C)}"),
    (r"\text{isosceles triangle}", "isosceles"),
    ("Softball, Picnic", "Picnic, Softball"),
    ("(2,1)", "1,2"),
    ("(1,2)", "[1,2]"),
    ("4, 144", "4144"),
    ("3 4", "34"),
    ("1:15", "3:45"),
    ("0", "x + y - z + 1 = 0"),
    (r"(\frac12, 1) \cap (\frac13, \frac23)", r"(\frac12, \frac23)"),
    ("x^2 + y^2 = 1", "a^2 + 2b^2 = 1"),
    ("89, 85, 88, 73", "89, 88, 85, 73"),
    ("2.2 million tons", "2.2"),
    ("no solution", "0"),
    ("all real numbers", r"(-\infty,\infty)"),
    ("4.5 miles to the nearest tenth", "4.5"),
    (r"x \neq 2", r"(-\infty,2)\cup(2,\infty)"),
    (r"1 + 2 + \dots + 10", "55"),
    (r"\sqrt{(a-b)^2}", "b-a"),
    ("(3 + 13,17) = (16,17)", "(16,17)"),
    ("SEA = 504", "504"),
    (r"12{:}00+300\text{ minutes}=05{:}00", r"05\!:\!00"),
    (r"\frac{2}{15} parts of it", r"\frac{2}{15}"),
]


def pairs(table: dict[str, list[tuple[str, str]]]) -> list[object]:
    return [pytest.param(a, b, id=f"{kind}: {a} | {b}") for kind, rows in table.items() for a, b in rows]


@pytest.mark.parametrize(("a", "b"), pairs(SAME))
def test_proves_equal(a: str, b: str) -> None:
    assert decide(a, b) is decide(b, a) is Decision.EQUAL


@pytest.mark.parametrize(("a", "b"), pairs(DIFFERENT))
def test_proves_different(a: str, b: str) -> None:
    assert decide(a, b) is decide(b, a) is Decision.DIFFERENT


@pytest.mark.parametrize(("a", "b"), NEVER_DIFFERENT)
def test_what_has_two_senses_never_differs(checker: Checker, a: str, b: str) -> None:
    """Decided with the second checker's help: such an answer is disputed or right, and never wrong."""
    assert checker.equivalent([(a, b)])[0] is not Equivalence.DIFFERENT
    assert decide(a, b) is decide(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [("10_2", "2"), ("5m", "5"), ("(1,2)", "[1,2]"), ("(2,1)", "1,2"), ("5 m", "5 cm"), ("x=1", "y=1"), ("0", "x+y=0")],
)
def test_what_has_two_senses_is_not_equal_either(checker: Checker, a: str, b: str) -> None:
    assert checker.equivalent([(a, b)]) == [Equivalence.UNDECIDED]


SIGNS = r"""
1 2 0 12 1,000 .5 3.14 - + * / ^ ! ( ) [ ] \{ \} { } , ; = < \le \frac \sqrt \pi \infty \cup \pm x y i \theta \sin \log
\text{cm} \text{or} \% \$ ° ^\circ _2 _{10} \begin{pmatrix} \end{pmatrix} & \\ A (B) cm feet million and no : | \dots
"""
PIECES = st.sampled_from(SIGNS.split())
ANSWERS = st.one_of(
    st.text(max_size=20),
    st.lists(PIECES, max_size=9).map("".join),
    st.lists(PIECES, max_size=9).map(" ".join),
    st.from_regex(r"-?\d{1,4}(\.\d{1,3})?%?", fullmatch=True),
    st.from_regex(r"\\?[df]?frac\{?\d\}?\{?\d\}?", fullmatch=True),
    st.from_regex(r"\d{1,3}(,\d{3})? ?(cm|apples|\\text\{ m\})?", fullmatch=True),
)


@given(ANSWERS)
def test_reflexive(text: str) -> None:
    assert decide(text, text) is decide(text, f" {text} ") is Decision.EQUAL


@given(ANSWERS, ANSWERS)
def test_symmetric(a: str, b: str) -> None:
    assert decide(a, b) is decide(b, a)


@given(st.lists(st.tuples(ANSWERS, ANSWERS), min_size=1, max_size=4))
def test_the_checker_is_reflexive_and_symmetric(items: list[tuple[str, str]]) -> None:
    with Checker(seconds=1, workers=1) as checker:
        settled = [pair for pair in items if decide(*pair) is not Decision.OPEN]
        assert checker.equivalent(settled) == checker.equivalent([(b, a) for a, b in settled])
        assert set(checker.equivalent([(a, a) for a, _ in items])) == {Equivalence.EQUAL}


@given(st.integers(-10_000, 10_000), st.integers(1, 500))
def test_fractions_are_exact(top: int, bottom: int) -> None:
    assert decide(f"{top}/{bottom}", rf"\frac{{{2 * top}}}{{{2 * bottom}}}") is Decision.EQUAL


@given(st.integers(-99, 99), st.integers(-99, 99), st.integers(-99, 99))
def test_expanded_products_are_equal_and_shifted_ones_are_not(a: int, b: int, c: int) -> None:
    product, expanded = f"(x{a:+})(x{b:+})", f"x^2{a + b:+}x{a * b:+}"
    assert decide(product, expanded) is Decision.EQUAL
    assert decide(product, f"{expanded}{c:+}") is (Decision.DIFFERENT if c else Decision.EQUAL)


@given(st.integers(2, 60), st.integers(2, 60))
def test_roots_are_equal_by_value(a: int, b: int) -> None:
    assert decide(rf"{a}\sqrt{{{b}}}", rf"\sqrt{{{a * a * b}}}") is Decision.EQUAL
    assert decide(rf"{a}\sqrt{{{b}}}", rf"\sqrt{{{a * a * b + 1}}}") is Decision.DIFFERENT


def test_numbers_are_ascii_and_finite() -> None:
    for text in ("9**9**9**9", "1/0", r"\frac{1}{0}", "١٢", "²", "1e999999999", "{" * 100):
        assert number(normalise(text)) is None
