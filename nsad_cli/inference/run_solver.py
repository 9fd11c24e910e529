"""A run's best model and ranker as a solver that keeps its chains in the run."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.config.stages import STUDENT
from nsad_cli.generation.cached_sampler import CachedSampler
from nsad_cli.generation.engine_spec import parse_engine
from nsad_cli.generation.sampler import Sampling
from nsad_cli.grading.checker import Checker
from nsad_cli.inference.sampling import sampling_key
from nsad_cli.inference.solver import Solver
from nsad_cli.runs.models import best_model
from nsad_cli.store.chains import ChainStore
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nsad_cli.inference.solver import Solution, VoteSettings
    from nsad_cli.runs.run import Run
    from nsad_cli.types import Problem


@dataclass
class RunSolver:
    """A run's solver beside the store of its chains."""

    solver: Solver
    store: ChainStore
    key: dict[str, str]
    together: int
    """Problems whose waves fill the engine's batch."""

    def keep(self, solution: Solution) -> None:
        """Keep a solution's answers, classes and weights beside its chains, which are kept already."""
        self.store.put(solution.problem, solution.chains, **self.key)
        if self.solver.ranker is not None:
            weights = {chain.index: chain.weight for chain in solution.chains}
            self.store.put_weights(solution.problem.id, weights, ranker=self.solver.ranker.name, **self.key)


@contextlib.contextmanager
def open_solver(
    run: Run,
    problems: Sequence[Problem],
    ask: VoteSettings,
    device: str | None = None,
    engine: str = "hf",
) -> Iterator[RunSolver]:
    """Load a run's best model and ranker; notes say which, and what the run lacks."""
    note(f"run: {run.name}; loading the student …")
    from nsad_cli.inference.session import Session  # torch takes its time: after the note

    recipe = run.recipe_with({"student.device": device})
    session = Session(run, recipe)
    model = best_model(run)
    ranker = session.ranker()
    sampling = Sampling.of(recipe.sampling)
    key = {
        "model": model,
        "model_key": parse_engine(engine).key(session.model_key(model)),
        "sampling": sampling_key(sampling, recipe.seed),
    }
    with ChainStore(run.chains_path) as store, Checker() as checker:
        sampler = CachedSampler(session.sampler(model, engine), store, key, problems, ranker.name if ranker else None)
        solver = Solver(sampler, sampling, ranker, checker, ask, seed=str(recipe.seed))
        missing = "" if model == STUDENT.name else " (no NCE student in this run)"
        early = "" if ask.stop_at is None else f" at most, {ask.wave} at a time until {ask.stop_at:.0%} sure"
        note(f"model: {model}{missing}; {ask.samples} chains{early}, rule {solver.ask.rule}")
        for line in solver.notes:
            note(line)
        yield RunSolver(solver, store, key, max(1, recipe.sampling.batch_size // len(solver.ask.waves()[0])))
