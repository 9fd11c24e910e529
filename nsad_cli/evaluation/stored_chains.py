"""Chains of earlier evaluations, read from a run's store; no model is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.config.stages import UNTRAINED, models
from nsad_cli.errors import UsageError
from nsad_cli.generation.sampler import GREEDY_INDEX, Sampling
from nsad_cli.grading.chains import grade_chains
from nsad_cli.inference.current_ranker import current_ranker
from nsad_cli.inference.sampling import greedy, sampling_key
from nsad_cli.runs.models import has_model, model_key
from nsad_cli.store.chains import ChainStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.config.engine_spec import EngineSpec
    from nsad_cli.evaluation.report import Measured
    from nsad_cli.grading.checker import Checker
    from nsad_cli.runs.run import Run
    from nsad_cli.types import Chain, Problem


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a run's model and the engine that sampled its chains."""

    run: Run
    model: str
    engine: EngineSpec

    @property
    def name(self) -> str:
        """RUN:MODEL, with @ENGINE unless the engine is transformers."""
        return f"{self.run.name}:{self.model}" + ("" if self.engine.kind == "hf" else f"@{self.engine.name}")

    def command(self, samples: int | None = None, how: str = "") -> str:
        """Return the command that evaluates this model; `how` has further options."""
        default = self.engine.spec == self.run.recipe.evaluation_engine
        engine = "" if default else f"--engine {self.engine.spec}"
        chains = "" if samples is None else f"--samples {samples}"
        return " ".join(filter(None, [f"nsad eval --run {self.run.name} --model {self.model}", engine, how, chains]))

    def ranker(self) -> str | None:
        """Return the run's current ranker; None if there is none, or if rankers do not score this model."""
        return None if self.model in UNTRAINED else current_ranker(self.run)

    def engines(self) -> list[str]:
        """Return the engines of which the run has chains of the model's current weights."""
        own = model_key(self.run, self.run.recipe, self.model)
        with ChainStore(self.run.chains_path) as store:
            found = {key.partition("@") for model, key, *_ in store.sets() if model == self.model}
        return sorted(kind.replace("@", ":") or "hf" for key, _, kind in found if key == own)


def models_with_chains(run: Run) -> list[str]:
    """Return the models of a run that have stored chains, in the order of the table of stages.

    Raises:
        UsageError: The run has no stored chains at all.
    """
    stored: set[str] = set()
    if run.chains_path.is_file():
        with ChainStore(run.chains_path, read_only=True) as store:
            stored = {model for model, *_ in store.sets()}
    found = [name for name in models() if name in stored and has_model(run, name)]
    if not found:
        raise UsageError(
            f"run `{run.name}` has no stored answers",
            "none of its models has been evaluated",
            f"evaluate them with `nsad eval --run {run.name}`",
        )
    return found


def stored_chains(side: Side, problems: Sequence[Problem], ranker: str | None = None) -> Measured:
    """Read each problem's greedy chain and its sampled chains up to the first missing index.

    Only chains of the run's current settings and weights are read; missing ones give empty lists.

    Args:
        side: The model.
        problems: The problems.
        ranker: The ranker whose scores are read; None for the run's current one.

    Returns:
        The chains.

    Raises:
        NsadError: The run has not trained the model.
    """
    recipe, ranker = side.run.recipe, ranker or side.ranker()
    sampling = Sampling.of(recipe.sampling)
    key = {"model": side.model, "model_key": side.engine.key(model_key(side.run, recipe, side.model))}
    first, others = sampling_key(greedy(sampling), recipe.seed), sampling_key(sampling, recipe.seed)
    found: Measured = {}
    with ChainStore(side.run.chains_path) as store:
        for problem in problems:
            chains = [
                c for c in store.get(problem.id, sampling=others, ranker=ranker, **key) if c.index != GREEDY_INDEX
            ]
            sampled = [chain for place, chain in enumerate(chains) if chain.index == place]
            found[problem.id] = (store.get_if_complete(problem.id, (GREEDY_INDEX,), sampling=first, **key), sampled)
    return found


def regrade(measured: Measured, problems: Sequence[Problem], samples: int, checker: Checker) -> Measured:
    """Grade stored chains again, since the grader may be newer.

    Sampled chains are limited to the first `samples`; a problem with fewer gets none.
    """
    return {
        problem.id: (
            grade_chains(measured[problem.id][0], problem.answer, checker),
            grade_chains(_first(measured[problem.id][1], samples), problem.answer, checker),
        )
        for problem in problems
    }


def _first(chains: Sequence[Chain], samples: int) -> Sequence[Chain]:
    return chains[:samples] if len(chains) >= samples else []
