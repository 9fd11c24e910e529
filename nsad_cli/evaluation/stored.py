"""Chains that `nsad eval` has measured, read back from a run's store; no model is loaded."""

from __future__ import annotations

from collections.abc import Sequence

from nsad_cli.answers.checker import Checker
from nsad_cli.chains import ChainStore
from nsad_cli.engines import parse_engine
from nsad_cli.evaluation.report import Measured
from nsad_cli.evaluation.runner import greedy, sampling_key
from nsad_cli.generation.sampler import GREEDY_INDEX, Sampling
from nsad_cli.models import model_key
from nsad_cli.runs import Run
from nsad_cli.solve import complete
from nsad_cli.types import Chain, Problem


def stored_chains(
    run: Run, model: str, problems: Sequence[Problem], samples: int, checker: Checker, engine: str = "hf"
) -> Measured:
    """Each problem's greedy chain and its first `samples` sampled ones by the run's present settings and weights.

    Empty where the store lacks them; judged anew, since checkers improve. Scores are those of the ranker that scored
    last. Raises NsadError where the run has not trained the model.
    """
    recipe = run.recipe
    sampling = Sampling.of(recipe.sampling)
    key = {"model": model, "model_key": parse_engine(engine).key(model_key(run, recipe, model))}
    passes = ((greedy(sampling), (GREEDY_INDEX,)), (sampling, tuple(range(samples))))
    found: Measured = {}
    with ChainStore(run.chains_path) as store:
        ranker = next(reversed(store.rankers()), None)
        for problem in problems:
            both: list[list[Chain]] = []
            for how, indices in passes:
                chains = store.whole(problem.id, indices, sampling=sampling_key(how, recipe.seed), ranker=ranker, **key)
                both.append(complete(chains, problem.answer, checker))
            found[problem.id] = (both[0], both[1])
    return found
