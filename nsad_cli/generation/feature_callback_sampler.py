"""A sampler that passes the features of finished chains to a callback."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from nsad_cli.generation.sampler import GREEDY_INDEX, Sampling, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from nsad_cli.generation.live_requests import LiveRequests
    from nsad_cli.types import Chain


class FeatureCallbackSampler:
    """Wraps an HFSampler and calls `on_chain` with each sampled chain and its features [d]."""

    plans_batches = True

    def __init__(self, sampler: Any, on_chain: Callable[[Chain, Tensor], None]) -> None:
        self.sampler, self.on_chain = sampler, on_chain

    def sample(
        self,
        tasks: Sequence[Task],
        sampling: Sampling,
        *,
        seed: str,
        on_tokens: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Chain]:
        """See Sampler.sample; `on_chain` is not called for greedy chains, which take no part in votes."""
        yield from self._passing_on(partial(self.sampler.sample, tasks, sampling, seed=seed, on_tokens=on_tokens))

    def sample_live(self, requests: LiveRequests) -> Iterator[Chain]:
        """See HFSampler.sample_live."""
        yield from self._passing_on(partial(self.sampler.sample_live, requests))

    def _passing_on(self, sample: Callable[..., Iterator[Chain]]) -> Iterator[Chain]:
        features: dict[tuple[str, int], Tensor] = {}

        def keep(problem: str, index: int, mean: Tensor) -> None:
            features[problem, index] = mean

        for chain in sample(on_features=keep):
            mean = features.pop((chain.problem_id, chain.index))
            if chain.index != GREEDY_INDEX:
                self.on_chain(chain, mean)
            yield chain
