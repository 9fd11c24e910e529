"""A run of 10,000 problems for the dashboard's votes, and how long it takes to show them.

Plain functions for tests.benchmarks.dashboard: `build` makes the run, `figures` measures it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import statistics
import time
from typing import TYPE_CHECKING

from nsad_cli.dashboard.app import Dashboard
from nsad_cli.dashboard.context import DashboardContext
from nsad_cli.dashboard.screens.votes import VotesView
from nsad_cli.runs.manifest import FORMAT
from nsad_cli.store.chains import ChainStore
from nsad_cli.types import Chain, Problem, Score
from nsad_cli.voting.chain_sets import chain_sets, iter_results, open_store
from nsad_cli.voting.minimal_flip import smallest_flip
from nsad_cli.voting.problem_filters import DEFAULT_RULES

if TYPE_CHECKING:
    from pathlib import Path

KEY = {"model": "nce", "model_key": "key", "sampling": "sampling"}
RANKER = "head-made"
STEPS = 20
WORDS = ("so", "then", "add", "take", "the", "first", "number", "there", "are", "left", "in", "all", "gives")


def build(run: Path, problems: int = 10_000, chains: int = 12, tokens: int = 120, seed: int = 0) -> None:
    """Make a run's folder with a chain store of that size: answers by a skewed draw, one ranker's scores."""
    chance = random.Random(seed)
    run.mkdir(parents=True, exist_ok=True)
    (run / "manifest.json").write_text(f'{{"format": {FORMAT}, "name": "{run.name}", "stages": {{}}}}')
    line = " ".join(chance.choice(WORDS) for _ in range(tokens))
    offsets = tuple(range(4, 4 * tokens + 1, 4))
    text = (line * 5)[: 4 * tokens]
    with ChainStore(run / "chains.sqlite") as store:
        for number in range(problems):
            gold = chance.randrange(100)
            good = chance.random()
            own = [_chain(chance, f"{number:016x}", i, gold, good, text, offsets) for i in range(chains)]
            answers = [chain.answer for chain in own]
            own = [
                dataclasses.replace(c, answer_class=None if c.answer is None else answers.index(c.answer)) for c in own
            ]
            problem = Problem(f"{number:016x}", f"Problem {number}: how many are there?", str(gold), "made")
            store.put(problem, own, **KEY)
            store.put_scores(problem.id, {chain.index: Score(chance.random()) for chain in own}, ranker=RANKER, **KEY)


def _chain(
    chance: random.Random, problem: str, index: int, gold: int, good: float, text: str, offsets: tuple[int, ...]
) -> Chain:
    draw = chance.random()
    answer = str(gold) if draw < good else None if draw > 0.97 else str(gold + chance.randrange(1, 5))
    base = -chance.random()
    logprobs = tuple(base * (i % 3) for i in range(len(offsets)))
    return Chain(problem, index, text, answer, offsets=offsets, logprobs=logprobs, correct=answer == str(gold))


def figures(run: Path) -> dict[str, float]:
    """Seconds, over a run's folder: from choosing the screen to its rows shown, and to every queue counted.

    `votes_list`: a whole read of the store besides (SQL and votes, without a screen); `votes_open`: from one problem to
    the next with its chains, bars and text drawn; `votes_search`: a text that every chain holds; `votes_flip`: the
    smallest set that the result of one large vote rests on.
    """
    return {**_without_a_screen(run), **asyncio.run(_on_screen(run)), "votes_flip": _flip()}


def _flip(number: int = 400, unscored: int = 50, answers: int = 5) -> float:
    """The median over ten votes among so many chains, some of them without a score."""
    chance = random.Random(0)
    taken = []
    for _ in range(10):
        names = chance.choices(range(answers), [1 / (k + 1) for k in range(answers)], k=number)
        chance.shuffle(scores := [None] * unscored + [chance.random() for _ in range(number - unscored)])
        chains = [
            Chain("made", i, "", str(name), answer_class=names.index(name), weight=score)
            for i, (name, score) in enumerate(zip(names, scores, strict=True))
        ]
        started = time.perf_counter()
        smallest_flip(chains, "asc")
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def _without_a_screen(run: Path) -> dict[str, float]:
    with open_store(run / "chains.sqlite") as store:
        started = time.perf_counter()
        chosen = chain_sets(store)[-1]
        problems = store.problems(**chosen.key)
        listed = time.perf_counter()
        found = {
            key: value
            for part in iter_results(store, chosen, chosen.ranker, DEFAULT_RULES)
            for key, value in part.items()
        }
        counted = time.perf_counter()
        assert len(found) == len(problems) == len(store.problems_containing("problem", **chosen.key))
    return {
        "votes_list": listed - started,
        "votes_count": counted - listed,
        "votes_search": time.perf_counter() - counted,
    }


async def _on_screen(run: Path) -> dict[str, float]:
    app = Dashboard(DashboardContext(run.parent, run.name), "votes")
    started = time.perf_counter()
    async with app.run_test(size=(120, 36)) as pilot:
        while not (isinstance(view := app.screen, VotesView) and view.query("#problems") and view.panes.problems.count):
            await asyncio.sleep(0.005)
        shown = time.perf_counter()
        while view.busy("votes"):
            await asyncio.sleep(0.005)
        counted = time.perf_counter()
        for _ in range(STEPS):
            await pilot.press("n")
        stepped = (time.perf_counter() - counted) / STEPS
    return {"votes_shown": shown - started, "votes_queues": counted - started, "votes_open": stepped}
