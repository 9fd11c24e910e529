"""The results of a study: each problem's outcome in each cell, from stored chains, and the comparison of arms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nsad_cli.config.engine_spec import parse_engine
from nsad_cli.config.stages import EVAL, RANKER
from nsad_cli.evaluation.measure import load_benchmarks
from nsad_cli.evaluation.outcomes import outcomes
from nsad_cli.evaluation.stored_chains import Side, regrade, stored_chains
from nsad_cli.grading.checker import Checker
from nsad_cli.runs.trained_size import trained_size
from nsad_cli.study.shared import COPIED_FROM
from nsad_cli.study.statistics import ALPHA, POWER, compare_seed, compare_seeds, holm
from nsad_cli.study.votes import COUNT, Outcomes, Row, ranker_row, vote_rows
from nsad_cli.utils.files import write_atomic
from nsad_cli.utils.logs import muted_notes, note
from nsad_cli.voting.rules import RANKER_RULES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nsad_cli.errors import NsadError
    from nsad_cli.study.cells import Cell
    from nsad_cli.study.definition import Study

FILE = "study.json"


def study_results(study: Study, cells: Sequence[Cell], failures: Mapping[str, NsadError]) -> Row:
    """Compare the arms of a study with their controls, and write the result to study.json in the study's folder.

    Args:
        study: The study.
        cells: Its cells, with their final recipes.
        failures: The errors of cells that failed.

    Returns:
        The object of `nsad study --json`: `study`, `control`, `rule`, `equal`, `seeds`, `n`, `arms`, `cells`,
        `minimal_difference`. An arm's `difference`, `ci95` and `p` are over the seeds that both it and its `control`
        have finished; `p_holm` is adjusted for the number of comparisons. For its `votes` see study.votes.
    """
    with Checker() as checker:
        by_rule = {cell.name: cell_outcomes(cell, checker) for cell in cells if cell.name not in failures}
    found = {name: rules[study.rule] for name, rules in by_rule.items()}
    evaluated = _in_common(found)
    by_arm = {
        arm.name: {
            cell.seed: [found[cell.name][problem] for problem in evaluated]
            for cell in cells
            if cell.arm is arm and cell.name in found
        }
        for arm in study.arms
    }
    cell_rows = [_cell_row(cell, found.get(cell.name), failures.get(cell.name)) for cell in cells]
    arms = [_arm_row(study, arm.name, by_arm, evaluated, cell_rows) for arm in study.arms]
    compared = [row for row in arms if row.get("p") is not None]
    for row, adjusted in zip(compared, holm([row["p"] for row in compared]), strict=True):
        row["p_holm"] = adjusted
    for arm, row in zip(study.arms, arms, strict=True):
        row["votes"] = vote_rows([by_rule[cell.name] for cell in cells if cell.arm is arm and cell.name in by_rule])
    result = {
        "study": study.name,
        "control": study.control,
        "rule": study.rule,
        "equal": study.equal,
        "seeds": list(study.seeds),
        "n": len(evaluated),
        "arms": arms,
        "cells": cell_rows,
        "minimal_difference": {
            "difference": max((row["minimal_difference"] for row in compared), default=None),
            "alpha": ALPHA / _comparisons(study),
            "power": POWER,
        },
    }
    write_atomic(study.path / FILE, json.dumps(result, indent=1, ensure_ascii=False))
    return result


def cell_outcomes(cell: Cell, checker: Checker) -> dict[str, Outcomes]:
    """Read each problem's outcome of a finished cell by each rule, from its stored chains, by the current grader."""
    run, settings = cell.run, cell.recipe.evaluation
    side, samples = Side(run, cell.arm.model, parse_engine(cell.recipe.evaluation_engine)), settings.samples
    found: dict[str, Outcomes] = {}
    with muted_notes():  # the evaluation has logged what is dropped
        benchmarks = load_benchmarks(run, settings.benchmarks, settings.limit)
    for label, problems in benchmarks:
        measured = regrade(stored_chains(side, problems), problems, samples, checker)
        groups = [[measured[problem.id][place] for problem in problems] for place in (0, 1)]
        for rule, values in outcomes(*groups).items():
            of_rule = {(label, problem.id): value for problem, value in zip(problems, values, strict=True)}
            found.setdefault(rule, {}).update(of_rule)
    if cell.ranker:  # it may have scored no chain; eval and solve then count
        found |= {rule: found[COUNT] for rule in RANKER_RULES if rule not in found}
    return found


def _in_common(found: Mapping[str, Outcomes]) -> list[tuple[str, str]]:
    """Return the problems that all finished cells have evaluated; a note counts the others."""
    everything = list(dict.fromkeys(problem for values in found.values() for problem in values))
    common = [problem for problem in everything if all(problem in values for values in found.values())]
    if len(common) < len(everything):
        note(f"study: {len(everything) - len(common)} problems are not compared: not every cell has evaluated them")
    return common


def _cell_row(cell: Cell, found: Outcomes | None, failure: NsadError | None) -> Row:
    records = {} if not (cell.run.path / "manifest.json").is_file() else cell.run.stages()
    size = trained_size(cell.run, cell.arm.model)
    return {
        "run": cell.name,
        "arm": cell.arm.name,
        "seed": cell.seed,
        "state": "failed" if failure else "finished",
        "error": str(failure) if failure else None,
        "accuracy": sum(found.values()) / len(found) if found else None,
        "tokens": dict(size.tokens),
        "steps": dict(size.steps),
        "parameters": size.parameters,
        RANKER.name: ranker_row(records.get(RANKER.name, {}).get("result", {})) if cell.ranker else None,
        "copied": {
            name: records[name][COPIED_FROM]
            for name in (*size.tokens, RANKER.name, EVAL.name)
            if COPIED_FROM in records.get(name, {})
        },
    }


def _arm_row(
    study: Study,
    name: str,
    by_arm: Mapping[str, Mapping[int, list[float]]],
    evaluated: Sequence[tuple[str, str]],
    cells: Sequence[Row],
) -> Row:
    (arm,) = (arm for arm in study.arms if arm.name == name)
    against = study.control_of(arm)
    own, control = by_arm[name], by_arm.get(against or "", {})
    mine = [row for row in cells if row["arm"] == name and row["state"] == "finished"]
    seeds = [seed for seed in study.seeds if seed in own]
    row: Row = {
        "arm": name,
        "model": arm.model,
        "settings": dict(arm.settings),
        "control": against,
        "n": len(evaluated) if own else 0,
        "seeds": seeds,
        "accuracy": _mean([value for seed in seeds for value in own[seed]]),
        "benchmarks": _by_benchmark([own[seed] for seed in seeds], evaluated),
        "tokens": _mean([sum(row["tokens"].values()) for row in mine]),
        "parameters": _mean([row["parameters"] for row in mine]),
        "by_seed": [{"seed": seed, "accuracy": _mean(own[seed])} for seed in seeds],
        **dict.fromkeys(("difference", "ci95", "p", "p_holm", "minimal_difference")),
    }
    both = [seed for seed in seeds if seed in control and evaluated]
    if not both:
        return row
    for entry in row["by_seed"]:
        if entry["seed"] in both:
            entry.update(compare_seed(control[entry["seed"]], own[entry["seed"]]))
    sides = ([control[seed] for seed in both], [own[seed] for seed in both])
    return {**row, **compare_seeds(*sides, comparisons=_comparisons(study))}


def _comparisons(study: Study) -> int:
    """Return the number of arms that are compared with another one, at least 1."""
    return max(1, sum(study.control_of(arm) is not None for arm in study.arms))


def _by_benchmark(values: Sequence[list[float]], evaluated: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Return the accuracy over all seeds on each benchmark."""
    found: dict[str, list[float]] = {}
    for outcome in values:
        for (label, _), value in zip(evaluated, outcome, strict=True):
            found.setdefault(label, []).append(value)
    return {label: sum(group) / len(group) for label, group in found.items()}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
