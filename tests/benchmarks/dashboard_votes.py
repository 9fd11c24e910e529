"""A run of 10,000 problems for the dashboard's votes, and how long it takes to show them.

Plain functions for tests.benchmarks.dashboard: `build` makes the run, `figures` measures it.
"""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

from nsad_cli.chains import ChainStore
from nsad_cli.types import Chain, Problem

KEY = {"model": "nce", "model_key": "key", "sampling": "sampling"}
RANKER = "head-made"
WORDS = ("so", "then", "add", "take", "the", "first", "number", "there", "are", "left", "in", "all", "gives")


def build(run: Path, problems: int = 10_000, chains: int = 12, tokens: int = 120, seed: int = 0) -> None:
    """Make a run's folder with a chain store of that size: answers by a skewed draw, one ranker's scores."""
    chance = random.Random(seed)
    run.mkdir(parents=True, exist_ok=True)
    (run / "manifest.json").write_text('{"format": 1, "name": "votes", "stages": {}}')
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
            store.put_weights(problem.id, {chain.index: chance.random() for chain in own}, ranker=RANKER, **KEY)


def _chain(
    chance: random.Random, problem: str, index: int, gold: int, good: float, text: str, offsets: tuple[int, ...]
) -> Chain:
    draw = chance.random()
    answer = str(gold) if draw < good else None if draw > 0.97 else str(gold + chance.randrange(1, 5))
    base = -chance.random()
    logprobs = tuple(base * (i % 3) for i in range(len(offsets)))
    return Chain(problem, index, text, answer, offsets=offsets, logprobs=logprobs, correct=answer == str(gold))
