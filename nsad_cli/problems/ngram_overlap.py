"""Overlap between two sets of problems: a common 13-gram, or the same text except for its numbers. Requires no torch.

Reports list two tests separately. *Words*: both questions contain the same 13 consecutive words, numbers included (the
size that Brown et al. 2020, appendix C, used for decontamination). *Numbers*: the questions are equal after every
number, in digits or in words, is replaced by a placeholder; for questions of fewer than 13 words it is the only test.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nsad_cli.types import Problem, normalise_question

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WORDS = 13
Test = Literal["same", "words", "numbers"]
TESTS: tuple[Test, ...] = ("same", "words", "numbers")
"""`same`: the questions have the same id, so they differ at most in case and white space."""
_DIGITS = r"\d+(?:[.,]\d+)*"
_WORD = re.compile(rf"{_DIGITS}|[^\W\d_]+(?:['’][^\W\d_]+)*")
_SPELLED = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million"
)
_ONE = rf"(?:{_DIGITS}|\b(?:{_SPELLED.replace(' ', '|')})\b)"
_NUMBER = re.compile(rf"{_ONE}(?:[\s-]+{_ONE})*")


@dataclass(frozen=True, slots=True)
class Overlap:
    """A training problem, an evaluation problem that it overlaps with, and the tests that matched."""

    problem: Problem
    other: Problem
    tests: frozenset[Test]


def word_runs(question: str) -> Iterator[str]:
    """Yield every 13-gram: NFKC, lower case, only letters and numbers, without the code of figures."""
    words = _WORD.findall(_without_figures(unicodedata.normalize("NFKC", question).lower()))
    return (" ".join(words[i : i + WORDS]) for i in range(len(words) - WORDS + 1))


def _without_figures(text: str) -> str:
    """Replace figures in Asymptote (used in MATH) by a space: they share code between otherwise unrelated problems."""
    kept, place = [], 0
    while (start := text.find("[asy]", place)) >= 0 and (end := text.find("[/asy]", start)) >= 0:
        kept.append(text[place:start])
        place = end + len("[/asy]")
    return " ".join([*kept, text[place:]])


def without_numbers(question: str) -> str:
    """Return the normalised question with numbers (digits or words) replaced by `#`, without `.`, `,` and `$`."""
    return re.sub(r"[.,$\s]+", " ", _NUMBER.sub("#", normalise_question(question))).strip()


def find_overlaps(training: Iterable[Problem], evaluation: Iterable[Problem]) -> list[Overlap]:
    """Return the overlapping training problems, in order; the time is linear in the number of words of both sets."""
    same: dict[str, Problem] = {}
    numbers: dict[str, Problem] = {}
    words: dict[str, Problem] = {}
    for problem in evaluation:
        same.setdefault(problem.id, problem)
        numbers.setdefault(without_numbers(problem.question), problem)
        for run in word_runs(problem.question):
            words.setdefault(run, problem)
    numbers.pop("", None)  # a question without words or numbers would match any other
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
