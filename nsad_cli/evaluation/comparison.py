"""Comparison of any number of models, of one run or several, from their stored chains; no model is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import UsageError
from nsad_cli.evaluation.across_runs import Arm, accuracy_rows, make_arms, size_row
from nsad_cli.evaluation.compare import compare
from nsad_cli.evaluation.measure import load_benchmarks
from nsad_cli.evaluation.outcomes import ANY, GREEDY, estimated
from nsad_cli.evaluation.overlap import overlap_rows
from nsad_cli.evaluation.stored_outcomes import StoredOutcomes, stored_outcomes
from nsad_cli.evaluation.vote_weights import weight_rows
from nsad_cli.problems import parse_spec
from nsad_cli.utils.logs import muted_notes
from nsad_cli.voting.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.evaluation.grouping import Grouping
    from nsad_cli.evaluation.measure import Benchmark
    from nsad_cli.evaluation.stored_chains import Side
    from nsad_cli.grading.checker import Checker
    from nsad_cli.types import Problem

    Rows = list[dict[str, Any]]
    Found = dict[tuple[str, str], StoredOutcomes]
    """Outcomes by a side's name and a benchmark's spec."""

SHOWN_RULES = (GREEDY, *RULES, ANY)
"""The rules that are compared by default: all but estimates."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What is compared.

    Attributes:
        sides: The models.
        named: The models that must have stored answers; others are left out without them.
        specs: The benchmarks' specs.
        limit: The number of problems of each benchmark, from its start; None for all.
        samples: The number of chains per problem in votes; None for as many as are stored.
        rules: The rules; None for SHOWN_RULES.
        by: What divides the problems; None for the total alone.
        options: The options that an evaluation of the same problems needs, for messages.
    """

    sides: Sequence[Side]
    named: Sequence[Side]
    specs: Sequence[str]
    limit: int | None = None
    samples: int | None = None
    rules: Sequence[str] | None = None
    by: Grouping | None = None
    options: str = ""
    _loaded: dict[tuple[str, str], Benchmark] = field(default_factory=dict, init=False)

    def benchmark(self, side: Side, spec: str) -> Benchmark:
        """Load a benchmark's problems that a side's run was not trained on, once for each run."""
        key = (side.run.name, spec)
        if key not in self._loaded:
            with muted_notes():  # the evaluation has reported what is left out
                ((label, problems),) = load_benchmarks(side.run, [spec], self.limit)
            self._loaded[key] = (self._label(spec, label), problems)
        return self._loaded[key]

    def _label(self, spec: str, label: str) -> str:
        """Return a benchmark's label, with its file if another one has the same."""
        others = [parse_spec(other) for other in self.specs if other != spec]
        path = parse_spec(spec).path
        if path is None or all(other.label != label for other in others):
            return label
        same_name = any(other.path is not None and other.path.name == path.name for other in others)
        return spec if same_name else f"{label}@{path.name}"

    def problems(self, sides: Sequence[Side], spec: str) -> list[Problem]:
        """Return the problems of all these sides' runs, in the benchmark's order."""
        first, *others = (self.benchmark(side, spec)[1] for side in sides)
        known = [{problem.id for problem in problems} for problems in others]
        return [problem for problem in first if all(problem.id in ids for ids in known)]


def compare_stored(selection: Selection, checker: Checker) -> dict[str, Any]:
    """Compare models by accuracy and, if there are two, problem by problem.

    Args:
        selection: What is compared.
        checker: The checker that grades the chains.

    Returns:
        The object of `nsad compare --json`: `models` (see size_row), `results` (see accuracy_rows), and for two models
        of single runs `a` and `b` (their names), `comparison` and `left_out` as of `nsad eval --compare`, and `overlap`
        (see overlap_rows); null, or empty, for other numbers of models.

    Raises:
        UsageError: A named model, or every model, has no stored answers.
        NsadError: A benchmark cannot be read.
    """
    found = {
        (side.name, spec): stored_outcomes(side, selection.benchmark(side, spec)[1], selection.samples, checker)
        for side in selection.sides
        for spec in selection.specs
    }
    evaluated = [side for side in selection.sides if any(found[side.name, spec].values for spec in selection.specs)]
    _require_answers(selection, evaluated)
    arms = make_arms(evaluated)
    results = [
        row for arm in arms for spec in selection.specs for row in _arm_rows(selection, arm, spec, found, checker)
    ]
    report: dict[str, Any] = {"models": [size_row(arm) for arm in arms], "results": results}
    pair = [side for arm in arms for side in arm.sides] if len(arms) == 2 else []
    return {**report, **_pair(selection, pair, found, checker)}


def compare_weights(selection: Selection, checker: Checker) -> dict[str, Any]:
    """Compare the ways to weight the votes of each model.

    Returns:
        The object of `nsad compare --weights --json`: `models`, and `weights`, `ranking` and `left_out` of weight_rows.

    Raises:
        UsageError: A model has no stored chains to vote on.
        NsadError: A benchmark cannot be read.
    """
    report: dict[str, Rows] = {"weights": [], "ranking": [], "left_out": []}
    for side in selection.sides:
        before = len(report["weights"])
        for spec in selection.specs:
            label, problems = selection.benchmark(side, spec)
            for name, rows in weight_rows(label, problems, side, selection.samples, checker).items():
                report[name] += rows
        if len(report["weights"]) == before:
            raise UsageError(
                f"{side.name} has no stored chains to vote on",
                f"its run has not sampled {selection.samples or 'several'} chains of the evaluated problems",
                f"sample them with `{side.command(selection.samples or 8, selection.options)}`",
            )
    return {"models": [size_row(Arm((side,))) for side in selection.sides], **report}


def _require_answers(selection: Selection, evaluated: Sequence[Side]) -> None:
    lacking = [side for side in selection.named if side not in evaluated] if evaluated else list(selection.sides)
    if not lacking:
        return
    side = lacking[0]
    engines = ", ".join(side.engines()) or "none"
    raise UsageError(
        f"{side.name} has no stored answers",
        "its run has evaluated no problem of these benchmarks with its current settings and weights; "
        f"chains of it are stored by: {engines}",
        f"evaluate it with `{side.command(selection.samples, selection.options)}`",
    )


def _arm_rows(selection: Selection, arm: Arm, spec: str, found: Found, checker: Checker) -> Rows:
    """Build a model's rows; the votes of all its runs are over as many chains as each of them has."""
    own = [found[side.name, spec] for side in arm.sides]
    counts = {outcomes.samples for outcomes in own if outcomes.samples}
    if len(counts) > 1:
        fewest = min(counts)
        own = [stored_outcomes(side, selection.benchmark(side, spec)[1], fewest, checker) for side in arm.sides]
    label, _ = selection.benchmark(arm.sides[0], spec)
    problems = selection.problems(arm.sides, spec)
    return accuracy_rows(arm, label, problems, own, selection.rules or SHOWN_RULES, selection.by)


def _pair(selection: Selection, sides: Sequence[Side], found: Found, checker: Checker) -> dict[str, Any]:
    """Compare two models problem by problem; the rules are those selected, and overlaps are of greedy answers else."""
    report: dict[str, Any] = {"a": None, "b": None, "comparison": [], "left_out": [], "overlap": []}
    if len(sides) != 2:
        return report
    a, b = sides
    report |= {"a": a.name, "b": b.name}
    for spec in selection.specs:
        (label, _), problems = selection.benchmark(a, spec), selection.problems(sides, spec)
        if not all(found[side.name, spec].values for side in sides):
            continue
        rows, left_out = compare(label, problems, (a, b), selection.samples, checker, selection.options)
        report["comparison"] += [row for row in rows if (row["rule"] or GREEDY) in (selection.rules or SHOWN_RULES)]
        report["left_out"] += left_out
        for rule in [rule for rule in selection.rules or (GREEDY,) if not estimated(rule)]:
            first, second = (found[side.name, spec].values.get(rule, {}) for side in sides)
            report["overlap"] += overlap_rows(label, problems, rule, first, second, selection.by)
    return report
