"""Chains that a store has are not sampled again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

from nsad_cli.chains import ChainStore
from nsad_cli.generation.sampler import Sampler, Sampling, Task
from nsad_cli.types import Chain, Problem


class KeptSampler:
    """An engine beside a store: gives the store's chains of a task where it has them all, else samples and keeps them.

    key: model, model_key and sampling, as in ChainStore. Chains are kept as they arrive; those of the store come with
    the scores of a ranker, where one is named.
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

    def sample(
        self,
        tasks: Sequence[Task],
        sampling: Sampling,
        *,
        seed: str,
        on_tokens: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Chain]:
        """See Sampler.sample; a task that is kept in part is sampled as a whole, so that batches stay as they were."""
        planned = []
        for task in tasks:
            stored = self.store.whole(task.problem_id, task.indices, ranker=self.ranker, **self.key)
            planned.append(dataclasses.replace(task, kept=bool(stored)))
            yield from stored
        wanted = {task.problem_id for task in planned if not task.kept}
        if not wanted:
            return
        for chain in self.engine.sample(planned, sampling, seed=seed, on_tokens=on_tokens):
            if chain.problem_id in wanted:
                self.store.put(self.problems[chain.problem_id], [chain], **self.key)
                yield chain
