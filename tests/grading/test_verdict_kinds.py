"""Verdicts on kinds of answers that graders are known to get wrong; each kind with its near misses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nsad_cli.grading.extract import Marker, extract
from nsad_cli.grading.verdicts import grade_texts
from nsad_cli.types import Finish

if TYPE_CHECKING:
    from nsad_cli.grading.checker import Checker

BOXED = {
    "upright letters": [
        (r"6-5\mathrm{i}", "6-5i", "correct"),
        (r"6-5\,\mathrm{i}", "6-5i", "correct"),
        (r"7\mathrm{e}", "7", "wrong disputed"),
        (r"8\mathbf{u}", r"8\mathbf{w}", "wrong disputed"),
        (r"9\mathit{y}", "9y", "correct"),
        (r"12\,\mathrm{m}", "12", "correct"),
    ],
    "digits beyond floating point": [
        (r"\frac{1}{411!}", r"\frac{1}{412!}", "wrong disputed"),
        (r"\frac{400!}{398!}", r"400\cdot 399", "correct"),
        (r"\frac{400!}{397!}", r"\frac{400!}{398!}", "wrong disputed"),
        (r"\sqrt{10^{18}+3}", "10^9", "wrong disputed"),
        (r"\sqrt{7+2\sqrt{10}}", r"\sqrt{2}+\sqrt{5}", "correct"),
        ("C'", "C", "wrong disputed"),
        (r"g^{\prime}(t)", "g'(t)", "correct"),
    ],
    "units": [
        (r"90 \text{ km/h}", r"25 \text{ m/s}", "correct"),
        (r"3 \text{ years}", r"3 \text{ months}", "disputed"),
        (r"3 \text{ years}", r"36 \text{ months}", "correct"),
        (r"3 \text{ years}", r"35 \text{ months}", "wrong"),
        (r"10^\circ\text{C}", r"50^\circ\text{F}", "correct"),
        (r"7 \text{ kJ}", r"7 \text{ J}", "disputed wrong"),
        (r"4 \text{ MB}", r"4000 \text{ KB}", "disputed"),
        (r"6 \text{ euros}", r"\$6", "disputed"),
        (r"6 \text{ shirts}", r"6 \text{ socks}", "disputed"),
        (r"6 \text{ shirts}", "6", "correct"),
        ("8t-8", "8", "wrong"),
        (r"6 \text{ red shirts}", r"6 \text{ shirts}", "correct"),
    ],
    "not arithmetic": [
        ("5/6/2031", "10/12/2031", "disputed wrong"),
        ("2031-05-06", "2020", "disputed wrong"),
        ("12-18", "24-30", "disputed wrong"),
        ("12-18", "12-18", "correct"),
        (r"12\text{-}18", r"18\text{-}24", "disputed"),
        ("0x2C", "44", "correct disputed"),
        ("0x2C", "0", "disputed wrong"),
        ("XIX", "19", "correct disputed"),
        ("N2O", "NO2", "disputed"),
        ("N2O", "N2O", "correct"),
    ],
    "percent and vectors in lists": [
        (r"(15\%, 45\%)", "(0.15, 0.45)", "correct"),
        (r"15\%, 45\%", "15, 45", "correct"),
        (r"15\%, 0.45", "0.15, 0.45", "disputed"),
        (r"\langle 4,7\rangle, \langle 5,6\rangle", "(5,6),(4,7)", "correct"),
        (r"\langle 4,7\rangle", r"4\mathbf{i}+7\mathbf{j}", "correct disputed"),
        (r"\begin{pmatrix}4\\7\end{pmatrix}, \begin{pmatrix}5\\6\end{pmatrix}", "(4,7),(6,5)", "wrong disputed"),
    ],
}
TEXTS = {
    "taken back": [
        ("The answer is 31. However, one is missing, which makes 32.", "31", "disputed"),
        (r"\boxed{31} is a naive count. The right one is 32.", "31", "disputed"),
        ("The answer is 31. Let me double-check: 30 + 1 = 31.", "31", "correct"),
        ("The answer is 31. I forgot the first one, so 32.", "32", "disputed wrong"),
        ("Most people say the answer is 31. That is a mistake. It is 32.", "31", "no_answer disputed"),
    ],
    "open boxes": [
        (r"First \boxed{31}, then \boxed{32", "31", "disputed"),
        (r"First \boxed{31}, then \boxed{}", "31", "no_answer disputed"),
        (r"It is \boxed{31}. (I used \boxed as asked.)", "31", "correct"),
    ],
    "reasoning": [
        (r"<think>\boxed{30}? No.</think> \boxed{31}", "31", "correct"),
        (r"so \boxed{30}?</think>The answer is 31.", "31", "correct"),
        ("[THINK]The answer is 30.[/THINK]The answer is 31.", "31", "correct"),
        (r"<think>The answer is 31.", "31", "no_answer"),
    ],
    "formats": [
        ("**Answer:** **31**", "31", "correct"),
        ("**Answer:** **31**", "32", "wrong"),
        ("The answer is\n$$\n\\boxed{31}\n$$", "31", "correct"),
        ('{"answer": "C", "score": 2}', "C", "correct"),
        ('{"answer": 31, "score": 2}', "2", "wrong disputed"),
        ("<answer>31</answer>", "32", "wrong"),
        ("The correct option is D.", "D", "correct"),
        ("The correct option is D.", "C", "wrong"),
        ("Option D is correct.", "D", "correct"),
        ("## Final Answer\n\n31", "31", "correct"),
        ("Answer: 31 (thirty-one)", "31", "correct"),
        ("答案是31。", "31", "correct"),
        ("答えは31です。", "31", "correct"),
        ("La respuesta es 31.", "32", "wrong"),
        ("Die Antwort lautet 31.", "31", "correct"),
        ("Ответ: 31", "31", "correct"),
    ],
    "programs": [
        ('```python\nprint("The answer is", 31)\n```', "31", "no_answer"),
        ("```python\nprint(30 + 1)\n```\n```output\n31\n```", "31", "correct"),
    ],
    "the last number": [
        ("So there are 31.", "31", "correct"),
        *(
            (f"So {said}", "31", "no_answer")
            for said in (
                *(
                    "31 dozen",
                    "more than 31",
                    "10^31",
                    "2 : 31",
                    "6 * 31",
                    "is it 31?",
                    "31 million",
                    "4/31",
                    "5% of 31",
                ),
                *("it is 9 (confidence 31)", r"it is \frac{2}{31}", "it is step 31", "31 or more"),
            )
        ),
    ],
}
CASES = [
    *((rf"Thus \boxed{{{said}}}.", gold, want) for rows in BOXED.values() for said, gold, want in rows),
    *(row for rows in TEXTS.values() for row in rows),
]


@pytest.mark.parametrize(("text", "gold", "verdicts"), CASES, ids=range(len(CASES)))
def test_verdict(checker: Checker, text: str, gold: str, verdicts: str) -> None:
    assert grade_texts([(text, gold, Finish.STOP)], checker)[0].verdict.value in verdicts.split()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is simply 47.", "simply 47"),
        ("The answer is not 45 but rather 47.", "47"),
        (r"First \boxed{45}, then \boxed{47", "47"),
        (r"First \boxed{45}, then \boxed{}", None),
        ("<think>The answer is 45.</think>", None),
    ],
)
def test_what_a_vote_counts(text: str, answer: str | None) -> None:
    assert extract(text).answer == answer


def test_a_box_cut_off_by_the_token_limit_is_no_answer(checker: Checker) -> None:
    found = extract(r"so \boxed{47")
    assert found.marker is Marker.OPEN_BOX
    assert grade_texts([(r"so \boxed{47", "47", Finish.LENGTH)], checker)[0].verdict.value == "truncated"
