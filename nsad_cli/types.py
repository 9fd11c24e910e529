"""The data types that all packages share, as frozen dataclasses; standard library only."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The result of grading one rationale; only CORRECT enters D+, only WRONG enters D−."""

    CORRECT = "correct"
    WRONG = "wrong"
    NO_ANSWER = "no_answer"
    TRUNCATED = "truncated"
    FILTERED = "filtered"
    BAD_GOLD = "bad_gold"
    TIMEOUT = "timeout"
    DISPUTED = "disputed"


class Finish(StrEnum):
    """Why a generation ended."""

    STOP = "stop"
    LENGTH = "length"
    FILTERED = "content_filter"


def normalise_question(question: str) -> str:
    """Normalise a question for comparison: NFKC, lower case, punctuation and white space replaced by one space.

    Signs and operators are preserved, because `x+1` and `x-1` are different problems.
    """
    text = unicodedata.normalize("NFKC", question).lower()
    return re.sub(r"[^\w+\-*/^=<>.,%$\\]+", " ", text).strip(" .")


def problem_id(question: str) -> str:
    """Hash a question to 16 hex digits, the same for the same problem in any benchmark.

    Only case and white space are normalised; brackets, bars and exponents distinguish problems.
    """
    text = " ".join(unicodedata.normalize("NFC", question).casefold().split())
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a benchmark; `answer` is the gold answer as the benchmark states it."""

    id: str
    question: str
    answer: str
    benchmark: str
    split: str = ""
    solution: str | None = None
    """The human solution, if the benchmark has one."""
    subject: str = ""
    level: str = ""


@dataclass(frozen=True, slots=True)
class Draw:
    """One rationale sampled from a teacher for a problem, before grading."""

    problem_id: str
    teacher: str
    index: int
    text: str
    finish: Finish = Finish.STOP
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Grade:
    """A verdict, the extracted answer that it is based on, and a short reason."""

    verdict: Verdict
    answer: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Rationale:
    """A graded rationale with its problem: one training example of D+ or D−."""

    problem: Problem
    text: str
    verdict: Verdict
    index: int
    """The index of the sample (`Draw.index`)."""


@dataclass(frozen=True, slots=True)
class Score:
    """What a ranker says of a chain.

    Attributes:
        weight: The chain's weight under `asc`, at least 0 and at most 1.
        probability: The calibrated probability that the chain is right; None if the ranker gives none.
        likelihood: The chain's weight under `wsc`; None for exp(mean log-probability).
    """

    weight: float
    probability: float | None = None
    likelihood: float | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """One candidate solution by the student.

    `offsets[i]` is where token i ends in `text` (characters); `logprobs[i]` its natural-log probability.
    An end-of-sequence token counts as the last token and ends at the end of the text. Both are empty if the
    engine returns no log-probabilities. `answer_class` is the lowest index among the chains of the same
    problem with an equivalent answer, None without an answer.
    """

    problem_id: str
    index: int
    text: str
    answer: str | None
    finish: Finish = Finish.STOP
    offsets: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    answer_class: int | None = None
    correct: bool | None = None
    """Whether the answer equals the gold one; None if no gold answer is known."""
    weight: float | None = None
    """The weight of the chain's vote by the ranker; None if no ranker has scored the chain."""
    probability: float | None = None
    """The ranker's probability that the chain is right; None if the weight is all that is known."""
    likelihood: float | None = None
    """The weight under `wsc`; None for exp(mean log-probability)."""

    def scored(self, score: Score | None) -> Chain:
        """Return the chain with a ranker's score."""
        if score is None:
            return dataclasses.replace(self, weight=None, probability=None, likelihood=None)
        return dataclasses.replace(
            self, weight=score.weight, probability=score.probability, likelihood=score.likelihood
        )

    @property
    def score(self) -> Score | None:
        """The ranker's score; None if no ranker has scored the chain."""
        return None if self.weight is None else Score(self.weight, self.probability, self.likelihood)

    @property
    def shown_score(self) -> float | None:
        """The number to show people: the probability, or the weight of a ranker that gives no probability."""
        return self.weight if self.probability is None else self.probability

    @property
    def logprob(self) -> float | None:
        """Mean log-probability per token."""
        return sum(self.logprobs) / len(self.logprobs) if self.logprobs else None


@dataclass(frozen=True, slots=True)
class Vote:
    """One class of equivalent answers: its size, the sum of its chains' weights, and their indices."""

    answer: str
    count: int
    weight: float
    chains: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ballot:
    """The outcome of a vote; `votes` are in descending order, `share` is the winner's fraction of the total weight."""

    rule: str
    answer: str | None
    share: float
    votes: tuple[Vote, ...]
