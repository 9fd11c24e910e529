"""Sampling and scoring for evaluation: a greedy chain and n sampled chains per problem, cached as they finish."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.generation.cached_sampler import CachedSampler
from nsad_cli.generation.ray_sampler import RaySampler
from nsad_cli.generation.sampler import GREEDY_INDEX, Sampler, Sampling, Task
from nsad_cli.grading.chains import grade_chains
from nsad_cli.utils.hashing import content_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nsad_cli.grading.checker import Checker
    from nsad_cli.inference.solver import Ranker
    from nsad_cli.store.chains import ChainStore
    from nsad_cli.types import Chain, Problem


@dataclass(frozen=True, slots=True)
class Subject:
    """The model to evaluate: its name, its key in the store, and its sampler."""

    model: str
    model_key: str
    sampler: Sampler


def _regraded(
    problem: Problem, chains: list[Chain], store: ChainStore, key: dict[str, str], checker: Checker
) -> list[Chain]:
    """Grade chains, stored ones again: `solve` does not know the gold answer, and the grader may be newer."""
    chains.sort(key=lambda item: item.index)
    graded = grade_chains(chains, problem.answer, checker)
    if graded != chains:
        store.put(problem, graded, **key)
    return graded


def sample_all(
    subject: Subject,
    problems: Sequence[Problem],
    sampling: Sampling,
    samples: int,
    with_greedy: bool,
    seed: int,
    store: ChainStore,
    checker: Checker,
    on_progress: Callable[..., None],
) -> dict[str, tuple[list[Chain], list[Chain]]]:
    """Sample each problem's greedy and sampled chains; stored chains are not sampled again (see CachedSampler).

    Chains are stored as they arrive, and graded when all of their problem's have arrived.

    Args:
        subject: The model.
        problems: The problems.
        sampling: The parameters of sampled chains.
        samples: The number of sampled chains per problem.
        with_greedy: Whether to sample a greedy chain too.
        seed: The recipe's seed.
        store: The store of chains.
        checker: The checker that grades them.
        on_progress: A callback (chains done, chains in total, tokens generated so far); on a Ray cluster it gets
            chains_per_second too, by node.

    Returns:
        For each problem id its (greedy, sampled) chains.
    """
    passes: list[tuple[Sampling, tuple[int, ...]]] = [(greedy(sampling), (GREEDY_INDEX,))] if with_greedy else []
    passes += [(sampling, tuple(range(samples)))] if samples else []
    total = sum(len(indices) for _, indices in passes) * len(problems)
    found: list[dict[str, list[Chain]]] = []
    done = tokens = 0

    def count(new: int) -> None:
        nonlocal tokens
        tokens += new

    for how, indices in passes:
        key = {"model": subject.model, "model_key": subject.model_key, "sampling": sampling_key(how, seed)}
        have: dict[str, list[Chain]] = {}
        by_id = {problem.id: problem for problem in problems}
        arriving: dict[str, list[Chain]] = {problem.id: [] for problem in problems}
        tasks = [Task(problem.id, problem.question, indices) for problem in problems]
        sampler = CachedSampler(subject.sampler, store, key, problems)
        on_progress(done, total, tokens)
        for chain in sampler.sample(tasks, how, seed=str(seed), on_tokens=count):
            group = arriving[chain.problem_id]
            group.append(chain)
            done += 1
            if len(group) == len(indices):
                have[chain.problem_id] = _regraded(by_id[chain.problem_id], group, store, key, checker)
            on_progress(done, total, tokens, **_rates(subject.sampler))
        found.append(have)
    empty: dict[str, list[Chain]] = {problem.id: [] for problem in problems}
    greedy_chains = found[0] if with_greedy else empty
    sampled = found[-1] if samples else empty
    return {problem.id: (greedy_chains[problem.id], sampled[problem.id]) for problem in problems}


def _rates(sampler: Sampler) -> dict[str, dict[str, float]]:
    known = sampler.rates if isinstance(sampler, RaySampler) else {}
    return {"chains_per_second": known} if known else {}


def score_all(
    subject: Subject,
    problems: Sequence[Problem],
    chains: dict[str, list[Chain]],
    ranker: Ranker,
    sampling: Sampling,
    seed: int,
    store: ChainStore,
) -> dict[str, list[Chain]]:
    """Add a ranker's scores to sampled chains; chains with a stored score are not scored again."""
    key = {"model": subject.model, "model_key": subject.model_key, "sampling": sampling_key(sampling, seed)}
    scored = {}
    for problem in problems:
        known = {chain.index: chain.score for chain in store.get(problem.id, ranker=ranker.name, **key)}
        mine = chains[problem.id]
        if any(known.get(chain.index) is None for chain in mine):
            fresh = ranker.score(problem, mine)
            known = {chain.index: score for chain, score in zip(mine, fresh, strict=True)}
            store.put_scores(problem.id, known, ranker=ranker.name, **key)
        scored[problem.id] = [chain.scored(known[chain.index]) for chain in mine]
    return scored


def greedy(sampling: Sampling) -> Sampling:
    """Return the parameters of the greedy chain."""
    return dataclasses.replace(sampling, temperature=0.0, top_p=1.0)


def sampling_key(sampling: Sampling, seed: int) -> str:
    """Hash the settings that affect a sampled chain, except the model."""
    return content_key("sampling", dataclasses.asdict(sampling), seed)
