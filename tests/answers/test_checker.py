"""The second checker's processes: verdicts, time limit, memory limit."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from nsad_cli.answers.checker import Checker, Outcome
from nsad_cli.answers.classes import answer_classes
from nsad_cli.answers.verdicts import judge
from nsad_cli.types import Finish, Verdict


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with Checker(seconds=5, workers=1) as made:
        yield made


def test_what_strings_cannot_prove(checker: Checker) -> None:
    pairs = [("x+1", "1+x"), ("x+1", "x+2"), (r"\sqrt{8}", r"2\sqrt{2}"), ("(1,2)", "(2,1)")]
    assert checker.equivalent(pairs) == [Outcome.EQUAL, Outcome.DIFFERENT, Outcome.EQUAL, Outcome.DIFFERENT]
    assert checker.equivalent([(b, a) for a, b in pairs]) == checker.equivalent(pairs)


def test_a_pair_that_takes_too_long_is_a_timeout_and_the_next_ones_are_decided() -> None:
    with Checker(seconds=1.5, workers=1) as checker:
        checker.equivalent([("x+1", "1+x")])
        started = time.monotonic()
        outcomes = checker.equivalent([("9^{9^{9^{9}}}", "9^{9^{9^{8}}}+x"), ("2x", "x+x")])
        assert time.monotonic() - started < 30
    assert outcomes[0] in (Outcome.TIMEOUT, Outcome.UNDECIDED, Outcome.DIFFERENT)
    assert outcomes[1] is Outcome.EQUAL


@pytest.mark.parametrize("text", ["__import__('os').system('true')", "{" * 300, r"\frac{" * 60, "a" * 100_000])
def test_hostile_answers_get_an_outcome(checker: Checker, text: str) -> None:
    assert checker.equivalent([(text, "5")])[0] in (Outcome.UNDECIDED, Outcome.DIFFERENT, Outcome.TIMEOUT)


def test_verdicts(checker: Checker) -> None:
    cases = [
        ("The answer is 5.", "5", Finish.STOP, Verdict.CORRECT),
        ("The answer is 6.", "5", Finish.STOP, Verdict.WRONG),
        (r"\boxed{1+x}", "x+1", Finish.STOP, Verdict.CORRECT),
        ("so 5", "5", Finish.STOP, Verdict.CORRECT),
        ("so 6", "5", Finish.STOP, Verdict.NO_ANSWER),
        ("", "5", Finish.STOP, Verdict.NO_ANSWER),
        ("so 6 and then", "5", Finish.LENGTH, Verdict.TRUNCATED),
        ("The answer is 6. But", "5", Finish.LENGTH, Verdict.TRUNCATED),
        ("", "5", Finish.FILTERED, Verdict.FILTERED),
        ("The answer is 5.", " ", Finish.STOP, Verdict.BAD_GOLD),
        (r"The answer is 5. \boxed{6}", "5", Finish.STOP, Verdict.DISPUTED),
        (r"The answer is 1/2. \boxed{0.5}", "0.5", Finish.STOP, Verdict.CORRECT),
    ]
    judged = judge([(text, gold, finish) for text, gold, finish, _ in cases], checker)
    assert [item.verdict for item in judged] == [verdict for *_, verdict in cases]


def test_classes_are_components_named_by_their_first_member(checker: Checker) -> None:
    assert answer_classes(["3", "1/2", None, "0.5", "3.0", r"\frac{2}{4}"], checker) == [0, 1, None, 1, 0, 1]
    assert answer_classes([], checker) == []
