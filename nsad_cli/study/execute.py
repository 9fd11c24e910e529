"""Execution of a study: its cells in order, or several at once; running it again resumes."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from nsad_cli.config.stages import COLLECT, EVAL, GRADE
from nsad_cli.errors import NsadError, UsageError, first_line
from nsad_cli.pipeline.collect_stage import collect_key
from nsad_cli.pipeline.pipeline import Pipeline
from nsad_cli.pipeline.preflight import preflight
from nsad_cli.runs.lock import hold_lock
from nsad_cli.runs.run import Run
from nsad_cli.runs.trackers.listener import tracking
from nsad_cli.study.budget import equalise
from nsad_cli.study.cells import Cell, make_cells
from nsad_cli.study.definition import Study, study_path
from nsad_cli.study.shared import claimed, copy_trained, has_collection, share_collection
from nsad_cli.utils.distributed import world_size
from nsad_cli.utils.files import make_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    Failures = dict[str, NsadError]
    """The errors of failed cells, by name."""
    Watch = Callable[[str, str], None]
    """Called with a cell's name and its new state: collecting, running, finished or failed."""
    RunCells = Callable[[Sequence[Cell], Sequence[str], Watch, Failures], None]


def check_study(study: Study) -> None:
    """Check that the parts of every arm's recipe exist and can be used, before anything is spent.

    Raises:
        NsadError: Something is missing; see pipeline.preflight.
        UsageError: A setting is not valid.
    """
    for cell in make_cells(study):
        if cell.seed == study.seeds[0]:
            preflight(cell.recipe, (COLLECT.name, *cell.trained, EVAL.name), cell.name)


def run_study(
    study: Study, run_cells: RunCells, *, store: Path | None = None, watch: Watch = lambda *_: None
) -> tuple[tuple[Cell, ...], Mapping[str, NsadError]]:
    """Run the cells of a study; finished ones are skipped, so running again resumes.

    Args:
        study: The study.
        run_cells: Runs cells whose collection is graded: `in_order`, `process.at_once` or `jobs.submitted`.
        store: The store of rationales of all cells; None for the study's own.
        watch: See Watch.

    Returns:
        The cells with their final recipes, and the errors of those that failed.

    Raises:
        UsageError: The study or a cell is not valid, or several processes were launched.
        NsadError: Another process runs this study.
    """
    if world_size() > 1:
        raise UsageError(
            "a study cannot be launched in several processes",
            "each of its runs is one process; a launcher started more",
            "leave out the launcher; --jobs N runs cells at the same time",
        )
    cells = make_cells(study)
    make_folder(study.path)
    failures: Failures = {}
    with hold_lock(study.path / "lock", study.name):
        ready = _collect(cells, store or study.path / "store.sqlite", watch, failures)
        ready = equalise(ready, study.equal)
        for cell in ready:
            Run.create(cell.name, cell.recipe)
        run_cells(ready, [cell.name for cell in cells], watch, failures)
    final = {cell.name: cell for cell in ready}
    return tuple(final.get(cell.name, cell) for cell in cells), failures


def _collect(cells: Sequence[Cell], store: Path, watch: Watch, failures: Failures) -> tuple[Cell, ...]:
    """Create the cells' runs, and collect and grade once for all cells with the same problems and teacher.

    Returns:
        The cells whose rationales are graded.
    """
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(collect_key(cell.recipe), []).append(cell)
    ready = set[str]()
    for key, group in groups.items():
        if all(has_collection(group[0].run, cell.run, key) for cell in group):
            for cell in group:  # nothing is written: its runs may be in use by jobs
                cell.run.check_store(store)
            ready |= {cell.name for cell in group}
            continue
        runs = [Run.create(cell.name, cell.recipe, store=store) for cell in group]
        watch(runs[0].name, "collecting")
        try:
            with runs[0].lock(), tracking(runs[0]):
                pipeline = Pipeline(runs[0])
                for stage in (COLLECT.name, GRADE.name):
                    pipeline.step(stage)
            for run in runs[1:]:
                with run.lock():
                    share_collection(runs[0], run)
            ready |= {run.name for run in runs}
        except NsadError as error:
            for run in runs:
                failures[run.name] = error
                watch(run.name, "failed")
    return tuple(cell for cell in cells if cell.name in ready)


def in_order(cells: Sequence[Cell], known: Sequence[str], watch: Watch, failures: Failures) -> None:
    """Run cells one after the other in this process; a failed one does not stop the others."""
    for cell in cells:
        watch(cell.name, "running")
        try:
            run_cell(cell.run, cell.trained, known, study_path(cell.study) / "locks")
        except NsadError as error:
            failures[cell.name] = error
        except Exception as error:  # a plugin may raise any exception
            why = f"{type(error).__name__}: {first_line(error)}"
            failures[cell.name] = NsadError(f"{cell.name}: an unexpected error", why, "see the run's notes above")
        watch(cell.name, "failed" if cell.name in failures else "finished")
        gc.collect()  # models contain reference cycles


def run_cell(run: Run, trained: Sequence[str], known: Sequence[str], locks: Path) -> None:
    """Train and evaluate a cell's model; stages that another cell has trained with the same key are copied.

    Args:
        run: The cell's run, whose collection is graded.
        trained: Its training stages, in order.
        known: The names of the study's runs.
        locks: The folder of lock files, by the keys of stages.

    Raises:
        NsadError: A stage failed; its finished work is kept.
    """
    (model,) = run.recipe.evaluation.models
    others = [Run(run.path.parent / name) for name in known]
    with run.lock(), tracking(run):
        pipeline = Pipeline(run)
        for name in trained:
            key = pipeline.stage_key(name)
            with claimed(locks / key):
                if not run.done(name, key):
                    copy_trained(name, key, run, others)
                pipeline.step(name)
        pipeline.evaluate(EVAL.name, [model], run.recipe.evaluation.samples)
