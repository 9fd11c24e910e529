"""Decontamination: find training problems that overlap with the evaluation of the run; training excludes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError
from nsad_cli.problems import ProblemSpec, default_split, load_problems, parse_spec
from nsad_cli.problems.ngram_overlap import TESTS, Overlap, find_overlaps
from nsad_cli.problems.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.config.schema import Recipe
    from nsad_cli.types import Problem

UNCHECKED = frozenset(WORLDS)
"""Benchmarks that are not checked: all splits are generated from a few templates, so most problems share 13 words with
a test problem and differ only in names and numbers. The test split measures transfer to new ones, and no problem is in
two splits."""


@dataclass(frozen=True, slots=True)
class Leaks:
    """The overlaps of a run's training problems with each of its evaluation benchmarks, by the benchmark's label."""

    by_benchmark: tuple[tuple[str, tuple[Overlap, ...]], ...] = ()
    own: frozenset[str] = frozenset()
    """Ids of training problems from an evaluated set; evaluation excludes them, whether or not training used them."""

    @property
    def ids(self) -> frozenset[str]:
        """Ids of the training problems to exclude."""
        return frozenset(item.problem.id for _, found in self.by_benchmark for item in found)

    def describe(self, total: int) -> str:
        """Describe how many of `total` training problems overlap, with which benchmark, and by which test."""
        parts = []
        for label, found in self.by_benchmark:
            counts = {test: sum(test in item.tests for item in found) for test in TESTS}
            by = ", ".join(f"{count} by {test}" for test, count in counts.items() if count)
            parts += [f"{len(found)} with {label} ({by})"] if found else []
        return f"{len(self.ids)} of {total} training problems overlap with the evaluation: {'; '.join(parts)}"


def find_leaks(recipe: Recipe, training: Sequence[Problem]) -> Leaks:
    """Compare training problems with the recipe's evaluation benchmarks; empty if training.keep_overlap is set.

    A training problem that comes from the evaluated set itself is not a leak: when a part of a benchmark is used for
    training, evaluation excludes that part and measures on the rest.

    Raises:
        NsadError: A benchmark cannot be read.
    """
    if recipe.training.keep_overlap or not training:
        return Leaks()
    found, mine = [], set()
    for spec in dict.fromkeys(recipe.evaluation.benchmarks):
        parsed = parse_spec(spec)
        if parsed.name in UNCHECKED:
            continue
        own = {problem.id for problem in training if _from(problem, parsed, recipe)}
        evaluated = [problem for problem in _evaluation(spec) if problem.id not in own]
        found.append((parsed.label, tuple(find_overlaps(training, evaluated))))
        mine |= own
    return Leaks(tuple(found), frozenset(mine))


def _evaluation(spec: str) -> list[Problem]:
    try:
        return load_problems(spec)
    except NsadError as error:
        raise type(error)(
            f"the training problems cannot be checked against {spec}: {error.what}",
            error.why,
            f"{error.fix}; or train without the check: --set training.keep_overlap=true",
        ) from error


def _from(problem: Problem, parsed: ProblemSpec, recipe: Recipe) -> bool:
    """Return whether a training problem comes from the set that a spec names; user files are compared by path."""
    if parsed.name == "jsonl":
        return parsed.path is not None and parsed.path.resolve() == _own_file(recipe)
    return (problem.benchmark, problem.split) == (parsed.name, parsed.split or default_split(parsed.name))


def _own_file(recipe: Recipe) -> Path | None:
    """Return the user's own file that a recipe trains on, or None."""
    scheme, _, recorded = recipe.teacher.spec.partition(":")
    if recipe.problems.train is None:
        return Path(recorded).expanduser().resolve() if scheme == "jsonl" else None
    path = parse_spec(recipe.problems.train).path
    return path.resolve() if path is not None else None
