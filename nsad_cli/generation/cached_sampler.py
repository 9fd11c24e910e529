"""A sampler with a store of chains as its cache."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from nsad_cli.utils.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from nsad_cli.generation.sampler import Sampler, Sampling, Task
    from nsad_cli.store.chains import ChainStore
    from nsad_cli.types import Chain, Problem


class CachedSampler:
    """Returns the chains in the store, samples the missing ones with an engine, and stores them as they arrive.

    If the engine plans batches, a task is either read from the store completely or sampled completely.

    Args:
        engine: The sampler of the missing chains.
        store: The cache.
        key: model, model_key and sampling, as in ChainStore.
        problems: The problems of all tasks.
        ranker: The ranker whose scores are added to the stored chains, if any.
    """

    def __init__(
        self,
        engine: Sampler,
        store: ChainStore,
        key: dict[str, str],
        problems: Iterable[Problem],
        ranker: str | None = None,
    ) -> None:
        self.engine, self.store, self.key, self.ranker = engine, store, key, ranker
        self.problems = {problem.id: problem for problem in problems}
        self.plans_batches = engine.plans_batches

    def sample(
        self,
        tasks: Sequence[Task],
        sampling: Sampling,
        *,
        seed: str,
        on_tokens: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Chain]:
        """See Sampler.sample."""
        planned = []
        for task in tasks:
            found = self.store.get(task.problem_id, ranker=self.ranker, **self.key)
            stored = {chain.index: chain for chain in found if chain.index in task.indices}
            missing = tuple(index for index in task.indices if index not in stored)
            if missing and self.plans_batches:
                stored, missing = {}, task.indices
            planned.append(dataclasses.replace(task, indices=missing or task.indices, cached=not missing))
            yield from stored.values()
        wanted = {(task.problem_id, index) for task in planned if not task.cached for index in task.indices}
        total = sum(len(task.indices) for task in tasks)
        logger.info(
            "%d chains of %d problems: %d cached, sampling %d", total, len(tasks), total - len(wanted), len(wanted)
        )
        if not wanted:
            return
        for chain in self.engine.sample(planned, sampling, seed=seed, on_tokens=on_tokens):
            if (chain.problem_id, chain.index) in wanted:
                self.store.put(self.problems[chain.problem_id], [chain], **self.key)
                yield chain
