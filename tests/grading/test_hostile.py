"""Answers made to break a grader: each gets a verdict in time, and no worker grows past its limit."""

from __future__ import annotations

import contextlib
import random
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsad_cli.grading import checker as checker_module
from nsad_cli.grading.checker import Checker, Equivalence
from nsad_cli.grading.equivalence.decide import decide
from nsad_cli.grading.equivalence.decision import Decision
from nsad_cli.grading.extract import extract
from nsad_cli.grading.verdicts import grade_texts
from nsad_cli.types import Finish, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 2.0
MEGABYTE = 2**20
ANSWERS = {
    "tower": "9**9**9**9",
    "latex tower": "9^{9^{9^{9}}}",
    "flat tower": "9^9^9^9^9",
    "factorials": "9!" + "!" * 40,
    "big factorial": "(10^{9})!",
    "megabyte of braces": "{" * MEGABYTE,
    "megabyte of closed braces": "{}" * (MEGABYTE // 2),
    "megabyte of digits": "9" * MEGABYTE,
    "deep fractions": r"\frac{1}{" * 60 + "1" + "}" * 60,
    "deep parentheses": "(" * 150 + "1" + ")" * 150,
    "deep roots": r"\sqrt{" * 40 + "2" + "}" * 40,
    "open parentheses": "(" * 390,
    "minus signs": "-" * 390 + "1",
    "long number": "1" * 390,
    "tiny number": "0." + "0" * 340 + "1",
    "tiny zero": "0." + "0" * 340,
    "arabic digits": "١٢٣",
    "fullwidth digits": "１２３",
    "superscripts": "²³",
    "import": "__import__('os').system('touch hacked')",
    "eval": r"\operatorname{eval}(open('hacked','w'))",
    "latex bomb": r"\def\a{\b\b\b\b\b\b\b\b}\def\b{\c\c\c\c\c\c\c\c}\def\c{\a\a\a}\a",
    "huge sum": r"\sum_{n=1}^{10^{12}} \frac{1}{n^{n}}",
    "huge product": r"\prod_{n=1}^{10^{9}} n!",
    "huge integral": r"\int_0^{10^{10}} e^{-x^2} \sin(x^{x^x}) dx",
    "huge matrix power": r"\begin{pmatrix} 1 & 1 \\ 1 & 0 \end{pmatrix}^{10^{9}}",
    "huge exponent": "(x+y+z+w)^{99999}",
    "huge expansion": "(a+b+c+d+e+f)^{60}(a-b-c-d-e-f)^{60}",
    "long list": ",".join(map(str, range(120))),
    "nul": "5\x00",
    "newlines": "5\n" * 100,
    "lone surrogate": "\ud800",
    "nan": "nan",
    "exponent": "1e999999999",
    "zero division": r"\frac{1}{0}",
    "carriage returns": "\r\n\u2028\x1e",
}


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with Checker(seconds=SECONDS, workers=1) as made:
        made.equivalent([("x+1+\\log x", "\\log x+1+x")])
        yield made


def workers() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "nsad_cli.grading.math_verify_worker" in child.cmdline()
    ]


@pytest.mark.parametrize("name", ANSWERS)
def test_each_gets_a_verdict_in_time_and_the_next_answer_is_graded(checker: Checker, name: str) -> None:
    text = ANSWERS[name]
    started = time.monotonic()
    judged = grade_texts([(rf"So \boxed{{{text}}}", "5", Finish.STOP), (f"#### {text}", "5", Finish.STOP)], checker)
    assert time.monotonic() - started < 2 * SECONDS + 10  # two pairs at most, and a worker's restart
    assert all(item.verdict in Verdict and item.verdict is not Verdict.CORRECT for item in judged) or "5" in text
    assert checker.equivalent([(text, text)]) == [Equivalence.EQUAL]
    assert checker.equivalent([(r"\log x + y", r"y + \log x")]) == [Equivalence.EQUAL]


@pytest.mark.parametrize("name", ANSWERS)
def test_the_cheap_deciders_alone_are_quick(name: str) -> None:
    started = time.monotonic()
    assert decide(ANSWERS[name], r"\frac{1}{2}") is not Decision.EQUAL
    assert time.monotonic() - started < 1


GOLDS = (
    *("5", "-1/2", "0.5", "1e6", r"\frac{1}{3}", "50%", "12 cm", "2 hours 30 minutes", r"\pi", "x^2+1", "x=3", "y=x"),
    *(
        "(1,2)",
        "[1,2)",
        r"(-\infty,3]\cup[4,\infty)",
        r"\{1,2\}",
        "1,2",
        r"1\pm\sqrt{2}",
        "x<3",
        "3:5",
        "2:30 PM",
        "no",
    ),
    *("seven", "(B)", "1011_2", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\infty", "5 million", "about 7"),
)
RUNS = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["", "-", "0.", "1.", "(1,", "[", "x=", "$", r"\frac{1}{", "1e", "10^{", "2:", "1,", "7 and 0."]),
    st.sampled_from("0139"),
    st.builds("".join, st.lists(st.sampled_from(["0" * 90, "1" * 90, "9" * 45, "1", "."]), max_size=4)),
    st.sampled_from("0139"),
    st.sampled_from(
        ["", ")", "]", "}", "%", " cm", " hours 30 minutes", "!", "_2", " million", " PM", "e99", "x", ":3"]
    ),
)


@pytest.mark.parametrize("gold", GOLDS)
@settings(deadline=None, max_examples=40)
@given(answer=RUNS)
def test_runs_of_digits_are_decided_beside_every_kind_of_gold(gold: str, answer: str) -> None:
    assert decide(answer, gold) is decide(gold, answer)


@pytest.mark.slow
def test_no_worker_grows_past_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a limit of 1 GB, asked what fills memory, straight past the cheap deciders."""
    monkeypatch.setattr(checker_module, "MEMORY_LIMIT_BYTES", 2**30)
    monkeypatch.setattr(checker_module, "decide", lambda *_: Decision.OPEN)
    peak = 0
    with Checker(seconds=SECONDS, workers=1) as checker:
        for text in ("9**9**9**9", "(10^{9})!", r"\binom{10^{9}}{5 \cdot 10^{8}}", "(a+b+c+d)^{900}", "2^{2^{34}}"):
            outcome = checker.equivalent([(text, "5")])[0]
            assert outcome in (Equivalence.UNDECIDED, Equivalence.DIFFERENT, Equivalence.TIMEOUT)
            for worker in workers():
                with contextlib.suppress(psutil.NoSuchProcess):  # it was ended at its limit; a zombie is one too
                    peak = max(peak, worker.memory_info().rss)
    assert 0 < peak < 2**30


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{" * (MEGABYTE // 7),
        r"\boxed{1}" * (MEGABYTE // 9),
        "".join(rf"\boxed{{{n}}}" for n in range(50_000)),
        r"\boxed " * (MEGABYTE // 7),
        "#### a b\n" * (MEGABYTE // 9),
        "The answer is " * (MEGABYTE // 14),
        "answer" + " " * MEGABYTE,
        "answer to " * (MEGABYTE // 10),
        "A: " * (MEGABYTE // 3),
        "\n" * MEGABYTE,
        "1,234" * (MEGABYTE // 5),
        "$" * MEGABYTE,
        "The answer is $" * (MEGABYTE // 15),
    ],
    ids=range(13),
)
def test_a_megabyte_of_markers_is_read_in_seconds(checker: Checker, text: str) -> None:
    started = time.monotonic()
    extract(text)
    extract(text, "5")
    grade_texts([(text, "5", Finish.STOP)], checker)
    assert time.monotonic() - started < 30


SIGNS = r"""
1 2 9 99 x y i e \pi \infty + - * / ^ _ ! = < , . ; : ( ) [ ] { } \{ \} | & \\ $ % \frac \sqrt \sqrt[3] \sum \int
\lim \log \sin \cup \cap \in \pm \times \cdot \text \boxed \left \right \begin{pmatrix} \end{pmatrix} ^{ _{
\overline \binom \dots \mathbb{R} ** // __ lambda import
"""
LATEX = st.lists(st.sampled_from(SIGNS.split()), max_size=14).map("".join)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(LATEX, st.text(max_size=30)), LATEX)
def test_fuzzed_pairs_get_an_outcome_and_are_symmetric(checker: Checker, a: str, b: str) -> None:
    first, second = checker.equivalent([(a, b), (a, a)])
    assert second is Equivalence.EQUAL
    assert checker.equivalent([(b, a)]) == [first]


@settings(deadline=None)
@given(st.lists(st.sampled_from([r"\boxed{", "}", "{", "####", " 5", "\n", "A:", "The answer is ", "$", "6", "."])))
def test_fuzzed_texts_are_read(pieces: list[str]) -> None:
    found = extract("".join(pieces))
    assert (found.answer is None) == (found.marker is None)


def test_long_random_formulas_are_decided_quickly() -> None:
    random_ = random.Random(0)
    signs = ["1", "23", "x", "y", "+", "-", "(", ")", "^2", r"\sqrt{2}", r"\frac{1}{3}", ",", " ", "=", "and", r"\cup"]
    started = time.monotonic()
    for _ in range(300):
        decide(*("".join(random_.choices(signs, k=100)) for _ in range(2)))
    assert time.monotonic() - started < 15
