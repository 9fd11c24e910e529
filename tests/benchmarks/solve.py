"""What a solve costs beside the model's forward passes, and what the ranker costs.

    python -m tests.benchmarks.solve [--json] [--run NAME] [--problems 6] [--samples 8]

Without --run, a run of its own on SmolLM2 is made first, trained for a step or two a stage: what is measured are times,
and these do not ask whether an answer is right. Each problem is solved as `nsad solve` does, one after another, with
the model loaded. `outside` is the share of the time in which no model of transformers runs; `ranker` is the share spent
in the ranker, its own forward passes included, when a problem's chains are scored at once, and `ranker_live` one by one
as they arrive in a terminal. `outside_hard` is `outside` where the chains' answers are replaced by ones that only
math-verify can compare, in a process that each solve starts anew.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import statistics
import tempfile
import time
from typing import TYPE_CHECKING, Any

from torch import nn
from transformers import PreTrainedModel

from nsad_cli.config.stages import RUN_ORDER
from nsad_cli.config.validation import validate_recipe
from nsad_cli.generation.sampler import Sampler, Sampling, Task
from nsad_cli.grading.checker import Checker
from nsad_cli.inference.session import Session
from nsad_cli.inference.solver import Ranker, Solver, VoteSettings
from nsad_cli.pipeline.pipeline import run_stages
from nsad_cli.problems import arithmetic
from nsad_cli.rankers.linear_probe import ProbeRanker
from nsad_cli.runs.models import best_model
from nsad_cli.runs.run import Run
from tests.benchmarks.report import at_most, finish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nsad_cli.config.schema import Recipe
    from nsad_cli.types import Chain, Problem, Score

KINDS: dict[str, dict[str, Any]] = {"head": {}, "probe": {"kind": "probe"}}
"""Kinds of ranker, and the settings of training.ranker that make each."""
GOALS = {"probe": 0.02}
"""What a kind may cost."""
STAGE = {"epochs": 1, "batch_size": 4, "max_examples": 4, "warmup_steps": 0, "checks": 1}
HARD = [r"\frac{1}{2} + \sqrt{2}", r"\sqrt{2} + 0.5", r"\frac{1+2\sqrt{2}}{2}", r"2^{x}", r"x^2 - 1", r"(x-1)(x+1)"]
"""Answers that no cheap decider can compare."""


class Stopwatch:
    """Time spent in what it wraps; a wrapped call inside another one counts once."""

    def __init__(self) -> None:
        self.seconds, self._depth = 0.0, 0

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            self._depth += 1
            started = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.perf_counter() - started

        return timed


@contextlib.contextmanager
def forwards(modules: Sequence[nn.Module]) -> Iterator[Stopwatch]:
    """A stopwatch for the forward passes of whole models among the modules."""
    watch, models = Stopwatch(), {m for root in modules for m in root.modules() if isinstance(m, PreTrainedModel)}
    for model in models:
        model.forward = watch.wrap(model.forward)
    try:
        yield watch
    finally:
        for model in models:
            del model.forward


class Hard:
    """A sampler whose chains end in hard answers."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler, self.plans_batches = sampler, sampler.plans_batches

    def sample(self, tasks: Sequence[Task], sampling: Sampling, **options: Any) -> Iterator[Chain]:
        for chain in self.sampler.sample(tasks, sampling, **options):
            answer = HARD[chain.index % len(HARD)]
            yield dataclasses.replace(chain, text=f"{chain.text} The answer is ${answer}$.")


class Timed:
    """A ranker with a stopwatch."""

    def __init__(self, ranker: Ranker) -> None:
        self.ranker, self.name, self.refused, self.watch = ranker, ranker.name, ranker.refused, Stopwatch()
        if isinstance(ranker, ProbeRanker):  # it scores a chain as it hears it
            ranker.score_generated = self.watch.wrap(ranker.score_generated)  # type: ignore[method-assign]  # a stopwatch around it

    def score(self, problem: Problem, chains: Sequence[Chain]) -> list[Score | None]:
        scores: list[Score | None] = self.watch.wrap(self.ranker.score)(problem, chains)
        return scores


def quick_recipe(ranker: dict[str, Any]) -> Recipe:
    """Every stage on a few built-in problems."""
    values = {
        "problems": {"train": "arithmetic:train", "limit": 40},
        "teacher": {"spec": "arithmetic", "draws": 2},
        "student": {"device": os.environ.get("NSAD_DEVICE", "auto")},
        "training": {
            **dict.fromkeys(("negative", "nat", "nce"), STAGE),
            "ranker": {**STAGE, "problems": 4, "samples": 1, **ranker},
        },
    }
    return validate_recipe(values, "benchmark")


def opened(name: str | None, kind: str) -> Session:
    """The named run, or one made for a kind of ranker."""
    if name is not None:
        return Session(Run.open(name))
    run = Run.create("solve", quick_recipe(KINDS[kind]))
    run_stages(run, [stage for stage in RUN_ORDER if not stage.startswith("eval")])
    return Session(run)


WAYS = ("plain", "live", "hard")
"""Scored at once; one by one as they arrive; with answers that are hard to compare."""


def shares(session: Session, problems: Sequence[Problem], samples: int) -> dict[str, list[float]]:
    """For each problem and way: the share of its time outside forward passes and in the ranker, and its seconds."""
    ranker = session.ranker()
    assert ranker is not None
    timed, recipe = Timed(ranker), session.recipe
    sampling = Sampling.of(recipe.sampling)
    sampler = session.sampler(best_model(session.run))
    scorer = getattr(ranker, "scorer", None)
    found: dict[str, list[float]] = {f"{what}_{way}": [] for what in ("outside", "ranker", "seconds") for way in WAYS}
    with forwards([session.adapters.model, *([scorer] if isinstance(scorer, nn.Module) else [])]) as watch:
        for number, problem in enumerate([problems[0], *problems]):
            for way in WAYS if number else WAYS[:1]:
                watch.seconds = timed.watch.seconds = 0.0
                engine = Hard(sampler) if way == "hard" else sampler
                started = time.perf_counter()
                with Checker() as checker:
                    solver = Solver(engine, sampling, timed, checker, VoteSettings(samples, "asc"), seed=f"{number}")
                    list(solver.solve([problem], (lambda *_: None) if way == "live" else None))
                seconds = time.perf_counter() - started
                if number:  # the first only warms up
                    found[f"outside_{way}"].append(1 - watch.seconds / seconds)
                    found[f"ranker_{way}"].append(timed.watch.seconds / seconds)
                    found[f"seconds_{way}"].append(seconds)
    return found


def measure(name: str | None, count: int, samples: int) -> dict[str, Any]:
    """Every kind of ranker in turn."""
    problems = list(arithmetic.problems("test", count))
    figures: dict[str, Any] = {}
    for kind in KINDS if name is None else ["run"]:
        with tempfile.TemporaryDirectory() as folder:
            if name is None:
                os.environ["NSAD_HOME"] = folder
            found = shares(opened(name, kind), problems, samples)
        middle = {key: statistics.median(values) for key, values in found.items()}
        figures[f"outside_{kind}"] = at_most(middle["outside_plain"], 0.05)
        figures[f"outside_hard_{kind}"] = at_most(middle["outside_hard"], 0.05)
        figures[f"ranker_{kind}"] = at_most(middle["ranker_plain"], GOALS.get(kind))
        figures[f"ranker_live_{kind}"] = at_most(middle["ranker_live"], None)
    seconds = round(middle["seconds_plain"], 1)
    conditions = {"problems": count, "samples": samples, "run": name, "seconds_a_solve": seconds}
    return {"figures": figures, "conditions": conditions}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.solve")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--run", help="a run of yours with a ranker, in place of one made for this")
    parser.add_argument("--problems", type=int, default=6)
    parser.add_argument("--samples", type=int, default=8)
    arguments = parser.parse_args()
    finish(measure(arguments.run, arguments.problems, arguments.samples), arguments.json)
