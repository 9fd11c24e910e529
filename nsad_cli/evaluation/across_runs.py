"""One table across runs: each model's accuracy by rule and benchmark, over the runs that differ only in their seed."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.evaluation.grouping import grouped
from nsad_cli.evaluation.outcomes import GREEDY
from nsad_cli.runs.run import runs_home
from nsad_cli.runs.trained_size import trained_size
from nsad_cli.utils.hashing import content_key
from nsad_cli.utils.statistics import wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.evaluation.grouping import Grouping
    from nsad_cli.evaluation.stored_chains import Side
    from nsad_cli.evaluation.stored_outcomes import StoredOutcomes
    from nsad_cli.runs.run import Run
    from nsad_cli.types import Problem

MIN_PREFIX = 2
"""The fewest characters that the names of a group's runs must share to be abbreviated."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A model of one run, or of several runs that differ only in their seed; one side for each seed, in order."""

    sides: tuple[Side, ...]

    @property
    def runs(self) -> list[str]:
        """The names of the runs."""
        return [side.run.name for side in self.sides]

    @property
    def run(self) -> str:
        """The name of the run; of several their common beginning and `*`, or all of them."""
        if len(self.runs) == 1:
            return self.runs[0]
        prefix = "".join(chars[0] for chars in itertools.takewhile(_is_one, zip(*self.runs, strict=False)))
        return f"{prefix}*" if len(prefix) >= MIN_PREFIX else ", ".join(self.runs)

    @property
    def model(self) -> str:
        """The model, with @ENGINE unless the engine is transformers."""
        return self.sides[0].name.partition(":")[2]

    @property
    def seeds(self) -> list[int]:
        """The seeds of the runs' recipes."""
        return [side.run.recipe.seed for side in self.sides]


def _is_one(chars: Sequence[str]) -> bool:
    return len(set(chars)) == 1


def make_arms(sides: Sequence[Side]) -> list[Arm]:
    """Group the sides whose runs differ only in their seed; runs with the same seed stay apart."""
    groups: dict[tuple[str, str], list[Side]] = {}
    for side in sides:
        groups.setdefault((_settings_key(side.run), side.name.partition(":")[2]), []).append(side)
    arms = []
    for group in groups.values():
        found = sorted(group, key=lambda side: side.run.recipe.seed)
        distinct = len({side.run.recipe.seed for side in found}) == len(found)
        arms += [Arm(tuple(found))] if distinct else [Arm((side,)) for side in group]
    return arms


def _settings_key(run: Run) -> str:
    """Return what runs that differ only in their seed share: the arm of a study, or all other settings."""
    recipe = run.recipe
    cell, _, seed = run.name.rpartition(".")
    study = cell.rpartition(".")[0]
    if study and seed == str(recipe.seed) and (runs_home() / "studies" / study).is_dir():
        return cell  # equal budgets give the cells of an arm slightly different numbers of epochs or tokens
    excluded: Any = {"name": True, "seed": True, "sampling": {"engine"}, "evaluation": {"engine"}}
    return content_key("recipe", recipe.model_dump(mode="json", exclude=excluded))


def accuracy_rows(
    arm: Arm,
    benchmark: str,
    problems: Sequence[Problem],
    found: Sequence[StoredOutcomes],
    rules: Sequence[str],
    by: Grouping | None,
) -> list[dict[str, Any]]:
    """Build the rows of a model on one benchmark, on the problems that all of its runs have evaluated.

    A run that has not been evaluated by a rule is left out of that rule's rows.

    Args:
        arm: The model.
        benchmark: The benchmark's label.
        problems: The problems of all its runs.
        found: The outcomes in each of its runs, with the same number of chains in votes.
        rules: The rules to report, and GREEDY.
        by: What divides the problems; None for the total alone.

    Returns:
        A row for each rule and group: `run`, `runs`, `model`, `benchmark`, `rule` (null for greedy answers), `by`,
        `group` (null for all problems), `n`, `samples`, `accuracy` (the mean over seeds), `ci95` (Wilson's interval
        over problems), `seeds`, `by_seed` (the accuracies), and `sd` (their standard deviation; null for one seed).
    """
    first = {"run": arm.run, "model": arm.model, "benchmark": benchmark}
    every = list(zip(arm.runs, arm.seeds, found, strict=True))
    rows: list[dict[str, Any]] = []
    for rule in rules:
        having = [item for item in every if rule in item[2].values]
        if not having:
            continue
        runs, seeds, own = zip(*having, strict=True)
        values = [outcomes.values[rule] for outcomes in own]
        common = [problem for problem in problems if all(problem.id in of_run for of_run in values)]
        what = {**first, "rule": None if rule == GREEDY else rule, "by": by, "samples": own[0].chains(rule)}
        for group, members in grouped(common, by):
            by_seed = [[of_run[problem.id] for problem in members] for of_run in values]
            rows.append({**what, "group": group, **_accuracy(by_seed), "runs": list(runs), "seeds": list(seeds)})
    return rows


def _accuracy(by_seed: Sequence[Sequence[float]]) -> dict[str, Any]:
    n = len(by_seed[0])
    accuracies = [sum(values) / n for values in by_seed]
    mean = statistics.fmean(accuracies)
    return {
        "n": n,
        "accuracy": mean,
        "ci95": list(wilson(mean * n, n)),
        "by_seed": accuracies,
        "sd": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
    }


def size_row(arm: Arm) -> dict[str, Any]:
    """Build the row of what a model was trained on, the mean over its runs.

    Returns:
        `run`, `runs`, `model`, `parameters` of its adapter and of the frozen one beside NAT, `tokens` of all its stages
        (null if unknown), and `stages`, the tokens of each.
    """
    sizes = [trained_size(side.run, side.model) for side in arm.sides]
    return {
        "run": arm.run,
        "runs": arm.runs,
        "model": arm.model,
        "parameters": _mean([size.parameters for size in sizes]),
        "tokens": _mean([size.total_tokens for size in sizes]),
        "stages": {name: _mean([size.tokens[name] for size in sizes]) for name in sizes[0].tokens},
    }


def _mean(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    mean = statistics.fmean(known)
    return int(mean) if mean.is_integer() else mean
