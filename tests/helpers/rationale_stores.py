"""Runs with a store of known draws, for the tests of what shows them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nsad_cli.store.rationales import Store
from nsad_cli.store.records import ReviewSource
from nsad_cli.types import Draw, Finish, Grade, Problem, Verdict

if TYPE_CHECKING:
    from pathlib import Path

PARAMS = "k"
C, W, N, D = Verdict.CORRECT, Verdict.WRONG, Verdict.NO_ANSWER, Verdict.DISPUTED
EVIL = "\x1b[2J\x1b]0;owned\x07\u202e"
PROBLEMS = (
    Problem("p0", "How much is 1+1?", "2", "sums", "train", "One and one is two.", "addition", "1"),
    Problem(
        "p1", r"What is $\frac{3}{4}$ of 8 [bold]apples[/bold]?", r"\frac{12}{2}", "sums", "train", None, "fractions"
    ),
    Problem("p2", f"A hostile one: {EVIL} 100% of 7?", "7", "sums", "train", None, "fractions", "5"),
    Problem("p3", "One that nobody was asked.", "0", "sums", "train", None, "addition", "2"),
)
VERDICTS = {"p0": (C, C, W, D), "p1": (D, W, None, N), "p2": (D, D, C, W)}
"""Of a problem's draws; None is not graded yet."""


def make_run(home: Path, name: str = "mine", *, graded: bool = True, collected: bool = True) -> Path:
    """A run's folder without a store."""
    stages = {"collect": {"state": "finished", "result": {"params": PARAMS}}} if collected else {}
    if graded:
        stages["grade"] = {"state": "finished", "result": {}}
    folder = home / name
    folder.mkdir(parents=True)
    manifest = {"format": 2, "name": name, "created": 0.0, "versions": {}, "store": None, "stages": stages}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder / "store.sqlite"


def fill(path: Path, *, graded: bool = True, draws: bool = True) -> dict[tuple[str, int], int]:
    """Four problems, draws of three of them by one teacher, verdicts; the draws' keys by problem and number."""
    with Store(path) as store:
        store.add_problems(PROBLEMS)
        if not draws:
            return {}
        store.add_draws(
            [
                Draw(pid, "gpt", i, f"Draw {i} of {pid}. {EVIL} It is {i}.", Finish.STOP, 5, 7)
                for pid, verdicts in VERDICTS.items()
                for i in range(len(verdicts))
            ],
            PARAMS,
        )
        keys = store.draw_keys("gpt", PARAMS)
        if graded:
            told = [(keys[pid, i], v) for pid, verdicts in VERDICTS.items() for i, v in enumerate(verdicts) if v]
            store.verdicts.record([(key, Grade(v, str(key), f"because {v.value}")) for key, v in told], "5")
            store.reviews.record(keys["p0", 2], C, ReviewSource.SAMPLE)
        return keys


def make_big(path: Path, problems: int, draws: int = 1) -> None:
    """Many problems, fast."""
    with Store(path) as store, store._db.transaction() as db:
        db.executemany(
            "INSERT INTO problems VALUES (?,?,'b','train',?,?,NULL,?,'')",
            ((f"{i:06}", i, f"Problem {i}?", str(i), f"subject {i % 7}") for i in range(problems)),
        )
        db.executemany(
            "INSERT INTO draws (problem_id, teacher, params, number, text, finish, prompt_tokens, completion_tokens,"
            " created) VALUES (?,'gpt',?,?,'t','stop',1,1,0)",
            ((f"{i:06}", PARAMS, n) for i in range(problems) for n in range(draws)),
        )
