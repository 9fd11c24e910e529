"""The built-in world: word problems of two or three steps, with right solutions and wrong ones with a real slip.

Everything follows from (split, index) and, for a solution, the draw's index. Training and test problems never meet:
a problem belongs to the split that the hash of its own text says.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from nsad_cli.types import Problem, problem_id

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = {"train": 400, "test": 100}
"""Problems of a split where no count is asked for."""
RIGHT_SHARE = 0.6
SLIPS = ("dropped step", "wrong operation", "arithmetic error", "misread number")
NAMES = ("Ana", "Ben", "Carl", "Dina", "Emma", "Finn", "Gina", "Hugo", "Ivy", "Jack", "Kate", "Liam")
THINGS = ("apples", "books", "coins", "pens", "cards", "shells", "stamps", "eggs", "cups", "balls")


@dataclass(frozen=True, slots=True)
class Step:
    """One calculation: the running value, an operation, and a number that the question states."""

    operation: str
    number: int

    def apply(self, value: int) -> int:
        """The value after the step."""
        return {"+": value + self.number, "-": value - self.number, "*": value * self.number}[self.operation]


@dataclass(frozen=True, slots=True)
class Exercise:
    """A generated problem with the calculation that solves it."""

    question: str
    start: int
    steps: tuple[Step, ...]
    thing: str
    kind: str

    @property
    def answer(self) -> int:
        """The right answer."""
        return run_steps(self.start, self.steps)[-1]


def run_steps(start: int, steps: tuple[Step, ...]) -> list[int]:
    """The running value after each step."""
    return list(itertools.accumulate(steps, lambda value, step: step.apply(value), initial=start))[1:]


# What a step says in a question, by operation; {n} is the number, {t} the thing.
SAYINGS = {
    "+": ("{p} gets {n} more {t}.", "{p} buys {n} more {t}.", "{p} finds {n} more {t}."),
    "-": ("{p} gives away {n} {t}.", "{p} loses {n} {t}.", "{p} sells {n} {t}."),
    "*": ("Then the {t} grow to {n} times as many.", "Then {p} has {n} times as many {t}."),
}
KINDS = ("+-", "-+", "++", "--", "*+", "*-", "+-+", "-+-")


def exercise(seed: str) -> Exercise:
    """Generate one exercise from a seed; every running value is between 1 and 200, every stated number under 60."""
    rng = random.Random(f"nsad-arithmetic-1:{seed}")
    while True:
        kind = rng.choice(KINDS)
        start = rng.randint(5, 59) if kind[0] != "*" else rng.randint(3, 20)
        steps = tuple(Step(sign, rng.randint(2, 5) if sign == "*" else rng.randint(2, 40)) for sign in kind)
        values = run_steps(start, steps)
        numbers = [start, *(step.number for step in steps)]
        if min(values) >= 1 and max(values) <= 200 and len(set(numbers)) == len(numbers):
            break
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    said = " ".join(rng.choice(SAYINGS[step.operation]).format(p=name, n=step.number, t=thing) for step in steps)
    question = f"{name} has {start} {thing}. {said} How many {thing} does {name} have now?"
    return Exercise(question, start, steps, thing, kind)


def split_of(question: str) -> str:
    """The split that a question belongs to, by its hash: one in four is a test problem."""
    return "test" if hashlib.sha256(question.encode()).digest()[0] < 64 else "train"


@lru_cache(maxsize=8)
def _exercises(split: str, count: int) -> tuple[Exercise, ...]:
    found: dict[str, Exercise] = {}
    for index in itertools.count():
        if len(found) == count:
            return tuple(found.values())
        item = exercise(f"{index}")
        if split_of(item.question) == split:
            found.setdefault(problem_id(item.question), item)
    raise AssertionError("unreachable")


def problems(split: str, count: int | None = None) -> Iterator[Problem]:
    """The first `count` problems of a split (train or test), each with its human-style solution."""
    for item in _exercises(split, count if count is not None else SIZES[split]):
        yield Problem(
            id=problem_id(item.question),
            question=item.question,
            answer=str(item.answer),
            benchmark="arithmetic",
            split=split,
            solution=_write(item, [item.start, *run_steps(item.start, item.steps)], item.steps, 0),
            subject=item.kind,
            level=str(len(item.steps)),
        )


def parse(question: str) -> Exercise:
    """Read a generated question back into its calculation.

    Raises ValueError for a question that this module did not make.
    """
    first, *said = re.findall(r"[^.?]+[.?]", question)[:-1] or [""]
    opening = re.fullmatch(r"\w+ has (\d+) (\w+)\.", first.strip())
    if opening is None or not said:
        raise ValueError(f"not one of the built-in problems: {question[:80]!r}")
    steps = tuple(_read_step(sentence.strip()) for sentence in said)
    return Exercise(question, int(opening[1]), steps, opening[2], "".join(step.operation for step in steps))


def _read_step(sentence: str) -> Step:
    for operation, sayings in SAYINGS.items():
        for saying in sayings:
            found = re.fullmatch(
                re.escape(saying).replace(r"\{p\}", r"\w+").replace(r"\{t\}", r"\w+").replace(r"\{n\}", r"(\d+)"),
                sentence,
            )
            if found:
                return Step(operation, int(found[1]))
    raise ValueError(f"not a sentence of the built-in problems: {sentence[:80]!r}")


def solve(question: str, draw: int) -> tuple[str, str | None]:
    """The teacher's rationale for a draw, with the name of the slip in it (None for a right one).

    Raises ValueError for a question that this module did not make.
    """
    item = parse(question)
    rng = random.Random(f"nsad-teacher-1:{question}:{draw}")
    if rng.random() < RIGHT_SHARE:
        return _write(item, [item.start, *run_steps(item.start, item.steps)], item.steps, rng.randrange(3)), None
    while True:
        slip = rng.choice(SLIPS)
        steps, values = _slip(item, slip, rng)
        # A slip that happens to give the right answer, or a count below zero, would not look like a wrong solution.
        if values[-1] != item.answer and min(values) >= 0:
            return _write(item, values, steps, rng.randrange(3)), slip


def _slip(item: Exercise, slip: str, rng: random.Random) -> tuple[tuple[Step, ...], list[int]]:
    steps = list(item.steps)
    place = rng.randrange(len(steps))
    if slip == "dropped step":
        del steps[place]
    elif slip == "wrong operation":
        other = {"+": "-", "-": "+", "*": "+"}[steps[place].operation]
        steps[place] = Step(other, steps[place].number)
    elif slip == "misread number":
        misread = _misread(steps[place].number, rng)
        steps[place] = Step(steps[place].operation, misread)
    values = [item.start, *run_steps(item.start, tuple(steps))]
    if slip == "arithmetic error":
        off = rng.choice((-10, -2, -1, 1, 2, 10))
        values = [*values[: place + 1], values[place + 1] + off]
        for step in steps[place + 1 :]:
            values.append(step.apply(values[-1]))
    return tuple(steps), values


def _misread(number: int, rng: random.Random) -> int:
    swapped = int(str(number)[::-1])
    return swapped if swapped != number and swapped > 0 and rng.random() < 0.5 else number + rng.choice((1, 2, 3))


def _write(item: Exercise, values: list[int], steps: tuple[Step, ...], wording: int) -> str:
    opening = (
        f"Start with {values[0]} {item.thing}.",
        f"There are {values[0]} {item.thing} at first.",
        f"At first: {values[0]} {item.thing}.",
    )[wording]
    lines = [f"{values[i]} {step.operation} {step.number} = {values[i + 1]}." for i, step in enumerate(steps)]
    return " ".join([opening, *lines, f"The answer is {values[-1]}."])
