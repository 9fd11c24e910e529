"""Problems that two sets share: the same words in a row, or the same text but for its numbers; pure, no torch.

Two tests, told apart in every report. *Words*: 13 words in a row of both, numbers among them as they stand (the size
that Brown et al. 2020, appendix C, used against contamination). *Numbers*: the whole question is the same once every
number, in digits or in words, is one mark; for questions of fewer than 13 words it is the only test.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nsad_cli.types import Problem, normalised

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WORDS = 13
Test = Literal["same", "words", "numbers"]
TESTS: tuple[Test, ...] = ("same", "words", "numbers")
"""`same`: the questions have one id, so they differ in case and spaces at most."""
_DIGITS = r"\d+(?:[.,]\d+)*"
_WORD = re.compile(rf"{_DIGITS}|[^\W\d_]+(?:['’][^\W\d_]+)*")
_SPELLED = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million"
)
_ONE = rf"(?:{_DIGITS}|\b(?:{_SPELLED.replace(' ', '|')})\b)"
_NUMBER = re.compile(rf"{_ONE}(?:[\s-]+{_ONE})*")
# A figure's drawing code is alike in problems that have nothing else in common (MATH writes it in Asymptote).
_FIGURE = re.compile(r"\[asy\].*?\[/asy\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Overlap:
    """A training problem, the evaluation problem that it is nearest to, and the tests that it fails."""

    problem: Problem
    other: Problem
    tests: frozenset[Test]


def word_runs(question: str) -> Iterator[str]:
    """Every run of 13 words: NFKC, lower case, letters and numbers alone, without the code of figures."""
    words = _WORD.findall(_FIGURE.sub(" ", unicodedata.normalize("NFKC", question).lower()))
    return (" ".join(words[i : i + WORDS]) for i in range(len(words) - WORDS + 1))


def without_numbers(question: str) -> str:
    """The normalised question with every number, in digits or in words, as one mark, and no `.`, `,` or `$`."""
    return re.sub(r"[.,$\s]+", " ", _NUMBER.sub("#", normalised(question))).strip()


def find_overlaps(training: Iterable[Problem], evaluation: Iterable[Problem]) -> list[Overlap]:
    """The training problems that an evaluation problem overlaps with, in their order; linear in both sets' words."""
    same: dict[str, Problem] = {}
    numbers: dict[str, Problem] = {}
    words: dict[str, Problem] = {}
    for problem in evaluation:
        same.setdefault(problem.id, problem)
        numbers.setdefault(without_numbers(problem.question), problem)
        for run in word_runs(problem.question):
            words.setdefault(run, problem)
    numbers.pop("", None)  # a question of signs alone says nothing
    found = []
    for problem in training:
        hits: dict[Test, Problem | None] = {
            "same": same.get(problem.id),
            "numbers": numbers.get(without_numbers(problem.question)),
            "words": next((words[run] for run in word_runs(problem.question) if run in words), None),
        }
        others = [other for other in hits.values() if other is not None]
        if others:
            tests: frozenset[Test] = frozenset(name for name, other in hits.items() if other is not None)
            found.append(Overlap(problem, others[0], tests))
    return found
