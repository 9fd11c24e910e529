"""How many chains a second one process writes to the store, and how far it lags behind 10,000 that arrive each second.

    python -m tests.benchmarks.single_writer [--json] [--chains 20000] [--folder DIR]

The store is a real SQLite file in --folder (by default a temporary one); the chains are synthetic, with 600 characters
and 150 tokens each. Engines deliver chains of many problems in turn. `rate_N` is the number of chains a second if N of
a problem are written in one transaction: 1 is what evaluation does, a chain as soon as it arrives. `lag_N` is how many
seconds after its arrival the last chain is written, if chains arrive for a minute at --arrivals a second.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from nsad_cli.store.chains import ChainStore
from nsad_cli.types import Chain, Problem
from tests.benchmarks.report import at_least, at_most, finish

TOKENS, CHARACTERS = 150, 600
SIZES = (1, 8, 64)
SECONDS = 60.0
KEY = {"model": "nce", "model_key": "4e0c", "sampling": "5a3d"}


def synthetic(number: int, index: int) -> Chain:
    """A chain of a plausible size."""
    draw = random.Random(number * 1000 + index)
    text = "".join(draw.choice("abcdefghij 0123456789=+") for _ in range(CHARACTERS))
    offsets = tuple(CHARACTERS * (i + 1) // TOKENS for i in range(TOKENS))
    return Chain(f"p{number}", index, text, "5", offsets=offsets, logprobs=(-0.25,) * TOKENS)


def rate(folder: Path, chains: int, together: int) -> float:
    """Chains a second, `together` of them in one transaction."""
    problems = [Problem(f"p{i}", f"Question {i}?", "5", "synthetic") for i in range(max(1, chains // together))]
    groups = [(problem, [synthetic(i, index) for index in range(together)]) for i, problem in enumerate(problems)]
    with ChainStore(folder / f"{together}.sqlite") as store:
        started = time.perf_counter()
        for problem, group in groups:
            store.put(problem, group, **KEY)
        return len(groups) * together / (time.perf_counter() - started)


def lag(written: float, arriving: float) -> float:
    """Seconds between the arrival of the last chain and its end, if chains arrive for SECONDS."""
    return max(0.0, SECONDS * arriving / written - SECONDS)


def measure(chains: int, arriving: float, folder: Path | None) -> dict[str, Any]:
    """Each number of chains in one transaction in turn."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=folder) as name:
        for together in SIZES:
            found = rate(Path(name), chains, together)
            figures[f"rate_{together}"] = at_least(found, None)
            figures[f"lag_{together}"] = at_most(lag(found, arriving), None)
        size = sum(path.stat().st_size for path in Path(name).glob("1.sqlite*"))
    figures["bytes_a_chain"] = at_most(size / chains, None)
    return {"figures": figures, "conditions": {"chains": chains, "arrivals": arriving, "seconds": SECONDS}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.single_writer")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--chains", type=int, default=20_000)
    parser.add_argument("--arrivals", type=float, default=10_000.0, help="chains that arrive each second")
    parser.add_argument("--folder", type=Path, help="the folder of the store: its disk is what is measured")
    arguments = parser.parse_args()
    finish(measure(arguments.chains, arguments.arrivals, arguments.folder), arguments.json)
