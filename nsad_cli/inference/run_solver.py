"""A solver with a run's best model and ranker; chains are cached in the run's store."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.config.engine_spec import parse_engine
from nsad_cli.config.stages import STUDENT
from nsad_cli.generation.cached_sampler import CachedSampler
from nsad_cli.generation.sampler import Sampling
from nsad_cli.grading.checker import Checker
from nsad_cli.inference.sampling import sampling_key
from nsad_cli.inference.solver import Solver
from nsad_cli.runs.models import best_model
from nsad_cli.store.chains import ChainStore
from nsad_cli.utils.devices import select_gpu
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nsad_cli.inference.solver import Solution, VoteSettings
    from nsad_cli.runs.run import Run
    from nsad_cli.types import Problem


@dataclass
class RunSolver:
    """A run's solver with the store of the run's chains."""

    solver: Solver
    store: ChainStore
    key: dict[str, str]
    together: int
    """The number of problems whose first waves fill the engine's batch."""

    def keep(self, solution: Solution) -> None:
        """Store a solution's answers, classes and weights; the chains themselves are stored as they arrive."""
        self.store.put(solution.problem, solution.chains, **self.key)
        if self.solver.ranker is not None:
            scores = {chain.index: chain.score for chain in solution.chains}
            self.store.put_scores(solution.problem.id, scores, ranker=self.solver.ranker.name, **self.key)


@contextlib.contextmanager
def open_solver(
    run: Run,
    problems: Sequence[Problem],
    settings: VoteSettings,
    device: str | None = None,
    engine: str | None = None,
) -> Iterator[RunSolver]:
    """Load a run's best model and ranker, and log which they are.

    Args:
        run: The run.
        problems: The problems that will be solved.
        settings: The number of chains, the rule and early stopping.
        device: The device, instead of the recipe's.
        engine: The engine that samples chains, see parse_engine; None for the run's.

    Yields:
        The solver.

    Raises:
        UsageError: The engine is invalid, or the rule does not support early stopping.
        NsadError: A model cannot be loaded.
    """
    recipe = run.recipe_with({"student.device": device})
    engine = engine or recipe.student.sampled_by
    note(f"run: {run.name}; loading the student …")
    select_gpu(recipe.student.device)
    from nsad_cli.inference.session import Session  # importing torch is slow: after the note

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
        solver = Solver(sampler, sampling, ranker, checker, settings, seed=str(recipe.seed))
        missing = "" if model == STUDENT.name else " (no NCE student in this run)"
        chains = f"{settings.samples} chains"
        if settings.stop_at is not None:
            chains = f"up to {chains}, {settings.wave} at a time, early stopping at {settings.stop_at:.0%}"
        note(f"model: {model}{missing}; {chains}; rule {solver.settings.rule}")
        for line in solver.notes:
            note(line)
        yield RunSolver(solver, store, key, max(1, recipe.sampling.batch_size // len(solver.settings.waves()[0])))
