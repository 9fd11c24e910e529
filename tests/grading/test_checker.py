"""The second checker's processes: verdicts, time limit, memory limit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from nsad_cli.errors import NsadError
from nsad_cli.grading.answer_classes import answer_classes
from nsad_cli.grading.checker import Checker, Equivalence
from nsad_cli.grading.equivalence.decide import decide
from nsad_cli.grading.equivalence.decision import Decision
from nsad_cli.grading.verdicts import grade_texts
from nsad_cli.types import Finish, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with Checker(seconds=5, workers=1) as made:
        yield made


LEFT_OPEN = (r"\log x + y", r"y + \log x")


def test_what_the_cheap_deciders_leave_open(checker: Checker) -> None:
    """The second checker may prove them equal, and never different."""
    pairs = [LEFT_OPEN, (r"\log x + y", r"\log x + 2y"), (r"0.3333", "1/3"), ("(1,2)", "(2,1)")]
    assert [decide(*pair) for pair in pairs[:3]] == [Decision.OPEN] * 3
    assert checker.equivalent(pairs) == [
        Equivalence.EQUAL,
        Equivalence.UNDECIDED,
        Equivalence.UNDECIDED,
        Equivalence.DIFFERENT,
    ]
    assert checker.equivalent([(b, a) for a, b in pairs]) == checker.equivalent(pairs)


def test_a_pair_that_takes_too_long_is_a_timeout_and_the_next_ones_are_decided() -> None:
    with Checker(seconds=1.5, workers=1) as checker:
        checker.equivalent([LEFT_OPEN])
        started = time.monotonic()
        outcomes = checker.equivalent([(r"\log(9!!!!)", r"\log(8!!!!)+x"), (r"2\log x", r"\log x+\log x")])
        assert time.monotonic() - started < 30
    assert outcomes[0] in (Equivalence.TIMEOUT, Equivalence.UNDECIDED, Equivalence.DIFFERENT)
    assert outcomes[1] is Equivalence.EQUAL


@pytest.mark.parametrize("text", ["__import__('os').system('true')", "{" * 300, r"\frac{" * 60, "a" * 100_000])
def test_hostile_answers_get_an_outcome(checker: Checker, text: str) -> None:
    assert checker.equivalent([(text, "5")])[0] in (Equivalence.UNDECIDED, Equivalence.DIFFERENT, Equivalence.TIMEOUT)


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
    judged = grade_texts([(text, gold, finish) for text, gold, finish, _ in cases], checker)
    assert [item.verdict for item in judged] == [verdict for *_, verdict in cases]


GOLD_7 = ("7 in total", "7 km/h", "7 a day", "7 L", "€7", "USD 7", "about 7", "equal to 7", "$7$ apples", "7 of them")
IN_WORDS = [
    *((f"The answer is {said}.", "7", Verdict.CORRECT) for said in GOLD_7),
    ("The answer to this problem is 5.", "5", Verdict.CORRECT),
    ("The answer is 1/2 of a pizza.", "1/2", Verdict.CORRECT),
    ("The answer is 8 in total.", "7", Verdict.WRONG),
    ("The answer is 7 out of 10.", "7", Verdict.DISPUTED),
    ("The answer is 7!", "7", Verdict.DISPUTED),
    ("The answer is 5 million.", "5000000", Verdict.CORRECT),
    ("The answer is 5 million.", "5", Verdict.DISPUTED),
    ("The answer is negative 7.", "7", Verdict.DISPUTED),
    *((f"The answer is {said}.", "7", Verdict.DISPUTED) for said in ("twice 7", "a loss of 7", "option 7", "June 7")),
    *((f"The answer is {said}.", "14", Verdict.DISPUTED) for said in ("twice 7", "1.4 tens")),
    ("The answer is 3 dozens.", "36", Verdict.CORRECT),
    ("The answer is 20 percent.", "0.2", Verdict.CORRECT),
    (r"\boxed{7 \text{ million}}", "7000000", Verdict.CORRECT),
    ("The answer is 2:30 PM.", "14:30", Verdict.CORRECT),
    ("x = 5, and 2 · 5 = 10. The answer is correct.", "5", Verdict.NO_ANSWER),
    ("The answer is found by adding 3 and 4. This gives 7.", "7", Verdict.CORRECT),
    ("So the answer is 7. I hope this answer is helpful!", "7", Verdict.CORRECT),
    ("Answer: Let's think. 3 + 4 = 7. The answer is 7.", "7", Verdict.CORRECT),
    ("#### Step 1: add 3\n3 + 5 = 8\n#### Step 2: end\n\\boxed{8}", "8", Verdict.CORRECT),
    ("#### Conclusion\nSo we have 8", "8", Verdict.CORRECT),
    ("So\n#### 8\nI hope this helps.", "8", Verdict.CORRECT),
    ("The answer is $3$ and $4$.", "3,4", Verdict.CORRECT),
    ("The answer is $6$ and $9$.", "6", Verdict.DISPUTED),
    ("The answer is Mrs. Hilt.", "Mrs. Hilt", Verdict.CORRECT),
    ("The answer is no.", "yes", Verdict.WRONG),
    (r"\boxed{3,4}", "(2,3)", Verdict.WRONG),
    (r"\boxed{(2,1)}", "1,2", Verdict.DISPUTED),
    (r"\boxed{2,3}", "(2,3)", Verdict.CORRECT),
    (r"\boxed{1:15}", "3:45", Verdict.DISPUTED),
    (r"\boxed{3:30 a.m.}", "3:30 p.m.", Verdict.WRONG),
    (r"\boxed{3:30}", "3:30 p.m.", Verdict.CORRECT),
    (r"So $x = \boxed{-16}$. That is extraneous: there are no solutions.", "-16", Verdict.DISPUTED),
    (r"The divisors are $\boxed{4}$ and $8.$", "4", Verdict.DISPUTED),
    (r"So $x = \boxed{4}$ and we are done.", "4", Verdict.CORRECT),
    ("Then $x = -1.$\n\nTherefore, there is no such constant $a.$", "-1", Verdict.NO_ANSWER),
    ("We get $s = 3.$ Hence the sum of the ratios is undefined.", "3", Verdict.NO_ANSWER),
    ("Therefore, $n = 9$ (since $n$ is positive).", "9", Verdict.CORRECT),
    ("The least multiple of 6 and 8 is 24.", "24", Verdict.CORRECT),
    (r"\boxed{2x^2-3x-9}", "(2x+3)(x-3)", Verdict.DISPUTED),
    (r"\boxed{(x-3)(2x+3)}", "(2x+3)(x-3)", Verdict.CORRECT),
    (r"\boxed{2(x+1)(x-1)}", "2x^2 - 2", Verdict.CORRECT),
    (r"\boxed{\varnothing}", r"\emptyset", Verdict.CORRECT),
]


def test_answers_in_words(checker: Checker) -> None:
    """A right number among words never lands in D−; what states no answer is no wrong one."""
    judged = grade_texts([(text, gold, Finish.STOP) for text, gold, _ in IN_WORDS], checker)
    found = {case[0]: item.verdict for case, item in zip(IN_WORDS, judged, strict=True)}
    assert found == {text: verdict for text, _, verdict in IN_WORDS}


def test_a_checker_that_cannot_start_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "math_verify.py").write_text("raise ImportError('no math_verify here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Checker(workers=1) as checker, pytest.raises(NsadError) as error:
        checker.equivalent([LEFT_OPEN])
    assert "no math_verify here" in error.value.why


def test_classes_are_components_named_by_their_first_member(checker: Checker) -> None:
    assert answer_classes(["3", "1/2", None, "0.5", "3.0", r"\frac{2}{4}"], checker) == [0, 1, None, 1, 0, 1]
    assert answer_classes([], checker) == []
