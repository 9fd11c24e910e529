"""A small run whose votes have something of everything: sure, split, lost, silent and hostile ones."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Literal

from nsad_cli.runs.manifest import FORMAT
from nsad_cli.store.chains import ChainStore
from nsad_cli.types import Chain, Finish, Problem, Score

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SAMPLED = {"model": "nce", "model_key": "4e0c", "sampling": "5a3d"}
GREEDY = {"model": "base", "model_key": "ba5e", "sampling": "9eed"}
FIRST, SECOND = "head-first", "probe-second"
EVIL = "\x1b[2J\x1b]0;owned\x07 [bold red]gone[/] \u202e"

PROBLEMS = {
    "sure": Problem("a1" * 8, "There are 3 boxes of 4 apples. How many apples are there?", "12", "made"),
    "split": Problem("b2" * 8, "Tom has 15 pens and gives 7 away. How many has he left?", "8", "made", subject="pens"),
    "lost": Problem("c3" * 8, "A dozen eggs, half of them are broken. How many are whole?", "6", "made"),
    "silent": Problem("d4" * 8, "How many days has a leap year?", "366", "made"),
    "hostile": Problem("e5" * 8, f"What is half of one? {EVIL}", "\\frac{1}{2}", "made"),
}
ANSWERS: dict[str, Sequence[tuple[str | None, float | None, float | None]]] = {
    # (answer, the first ranker's score, the second's)
    "sure": [("12", 0.9, 0.4), ("12", 0.8, 0.5), ("10", 0.2, 0.9), ("12", 0.7, 0.6), (None, 0.1, 0.1)],
    "split": [("22", 0.2, 0.9), ("22", 0.3, 0.9), ("8", 0.9, 0.1), ("8", 0.8, 0.1), ("22", 0.1, 0.9)],
    "lost": [("12", 0.6, 0.2), ("6", 0.5, 0.9), ("12", 0.7, 0.2), ("24", 0.3, 0.1)],
    "silent": [(None, None, None), (None, None, None), (None, None, None)],
    "hostile": [("\\frac{1}{2}", None, None), (f"2 {EVIL}", None, None), ("\\frac{1}{2}", None, None)],
}


def make_run(home: Path, name: str = "taken") -> Path:
    """The run's folder; the second ranker scored last."""
    run = home / name
    run.mkdir(parents=True)
    (run / "manifest.json").write_text(
        f'{{"format": {FORMAT}, "name": "{name}", "created": 0, "versions": {{}}, "store": null, "stages": {{}}}}'
    )
    with ChainStore(run / "chains.sqlite") as store:
        for key, problem in PROBLEMS.items():
            greedy = chains_of(key)[0]
            store.put(problem, [dataclasses.replace(greedy, index=-1, answer_class=-1)], **GREEDY)
            store.put(problem, chains_of(key), **SAMPLED)
        for ranker, scores in ((FIRST, _scores(1)), (SECOND, _scores(2))):
            for key, problem in PROBLEMS.items():
                given = {i: None if weight is None else Score(weight) for i, weight in scores[key].items()}
                store.put_scores(problem.id, given, ranker=ranker, **SAMPLED)
    return run


def put_steps(run: Path) -> Problem:
    """Add a problem with a chain whose second and third equalities are wrong, and one whose equalities are right."""
    problem = Problem("f6" * 8, "Each of 5 boxes has 4 pens; 2 + 1 are lost. How many are left?", "17", "made")
    texts = (
        "Of the pens 2 + 1 = 3 are lost.\nThere were $5 \\times 4 = 24$, all in all.\n"
        "24 - 3 = 22 are left.\nThe answer is 22",
        "There were 5 * 4 = 20 pens.\n20 - 3 = 17 are left.\nThe answer is 17",
    )
    chains = []
    for index, text in enumerate(texts):
        offsets = tuple(found.end() for found in re.finditer(r"\s*\S+", text))
        logprobs = tuple(-2.5 if i % 5 == 4 else -0.125 for i in range(len(offsets)))
        chains.append(
            Chain(problem.id, index, text, text.split()[-1], Finish.STOP, offsets, logprobs, index, index == 1)
        )
    with ChainStore(run / "chains.sqlite") as store:
        store.put(problem, chains, **SAMPLED)
    return problem


def _scores(place: Literal[1, 2]) -> dict[str, dict[int, float | None]]:
    return {
        key: {index: item[place] for index, item in enumerate(items) if item[place] is not None}
        for key, items in ANSWERS.items()
    }


def chains_of(key: str) -> list[Chain]:
    """A problem's chains, a token a word; every fifth token is an unlikely one."""
    answers = [answer for answer, _, _ in ANSWERS[key]]
    return [_chain(PROBLEMS[key], index, answers) for index in range(len(answers))]


def _chain(problem: Problem, index: int, answers: Sequence[str | None]) -> Chain:
    answer = answers[index]
    end = "and so on and on" if answer is None else f"The answer is {answer}"
    text = f"We count them in the way of chain {index}.\nThat is \\frac{{1}}{{2}} of two.\n{end}"
    offsets = tuple(found.end() for found in re.finditer(r"\s*\S+", text))
    return Chain(
        problem.id,
        index,
        text,
        answer,
        Finish.LENGTH if answer is None else Finish.STOP,
        offsets,
        tuple(-2.5 if i % 5 == 4 else -0.125 * (1 + index % 3) for i in range(len(offsets))),
        None if answer is None else answers.index(answer),
        answer == problem.answer,
    )
