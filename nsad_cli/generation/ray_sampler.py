"""The Ray engine: actors on the nodes of a cluster sample with engines of their own; this process collects the chains.

Work is given out in parts. An actor streams the chains of its part in groups, so that what a lost actor or node has
delivered is kept; the rest of its part is given out again. Nodes that join while chains are sampled get actors too. A
chain is determined by (seed, problem, index), whichever actor samples it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
import weakref
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError, first_line
from nsad_cli.generation.ray_cluster import LOGS, Place, RayCluster, RayResources, missing_places, places
from nsad_cli.generation.sampler import require_context
from nsad_cli.utils.devices import VISIBLE
from nsad_cli.utils.logs import logger, note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from nsad_cli.generation.sampler import Sampler, Sampling, Task
    from nsad_cli.models.student import Student
    from nsad_cli.types import Chain

GROUP_SECONDS = 0.5
"""How long an actor gathers chains before it sends them."""
MIN_PART, MAX_PART = 32, 2048
"""Limits on the chains of a part: at least a batch, at most what a fast engine takes some time for."""
NODES_SECONDS = 5.0
"""The time between two looks at the nodes of the cluster."""
RATE_SECONDS = 5.0
"""The time over which chains per second are counted."""
MAX_LOSSES = 5
"""Actors that may be lost in succession without having delivered a chain; then the engine gives up."""


class Worker:
    """An actor: one engine on one node.

    Ray sets the number of threads to the actor's cores, unless OMP_NUM_THREADS is set on its node.

    Args:
        build: Builds the engine from the model.
        model: The model, as `build` reads it.
        on_gpu: Whether the actor has a GPU.
    """

    def __init__(self, build: Callable[[bytes], Sampler], model: bytes, on_gpu: bool) -> None:
        self._build, self._model = build, model
        if not on_gpu:  # Ray hides no GPU from actors that have none
            os.environ[VISIBLE] = ""

    def load(self) -> str:
        """Load the engine, and return the node's id; not a part of __init__, where Ray would replace the error."""
        import ray

        self._sampler = self._build(self._model)
        return str(ray.get_runtime_context().get_node_id())

    def sample(self, tasks: Sequence[Task], sampling: Sampling, seed: str) -> Iterator[list[Chain]]:
        """Yield the chains of a part in groups."""
        group: list[Chain] = []
        sent = time.monotonic()
        for chain in self._sampler.sample(tasks, sampling, seed=seed):
            group.append(chain)
            if time.monotonic() - sent >= GROUP_SECONDS:
                yield group
                group, sent = [], time.monotonic()
        if group:
            yield group


class WorkQueue:
    """The chains that are not given out, in their order."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = deque(tasks)
        self.left = count_chains(self._tasks)

    def take(self, actors: int) -> list[Task]:
        """Take a part: half of an actor's share of what is left, so that all actors end at about the same time."""
        room = min(MAX_PART, max(MIN_PART, self.left // (2 * actors)))
        part: list[Task] = []
        while room and self._tasks:
            task = self._tasks.popleft()
            part.append(dataclasses.replace(task, indices=task.indices[:room]))
            if task.indices[room:]:
                self._tasks.appendleft(dataclasses.replace(task, indices=task.indices[room:]))
            room -= len(part[-1].indices)
        self.left -= count_chains(part)
        return part

    def put_back(self, tasks: Iterable[Task]) -> None:
        """Put back the rest of a lost part, to be given out next."""
        for task in tasks:
            self._tasks.appendleft(task)
            self.left += len(task.indices)


def count_chains(tasks: Iterable[Task]) -> int:
    """Return the number of requested chains."""
    return sum(len(task.indices) for task in tasks)


@dataclass(eq=False)
class _Actor:
    """An actor as this process sees it."""

    handle: Any
    node: str
    """The id of the node that it is meant for; once its engine is loaded, of the node that it is on."""
    pending: Any
    """What is awaited: the reference of `load`, then a generator of groups; None if the actor is idle."""
    loaded: bool = False
    delivered: bool = False
    """Whether it has delivered a chain."""
    missing: dict[tuple[str, int], Task] = field(default_factory=dict)
    """The chains of its part that it has not delivered."""

    def receive(self, ray: Any) -> list[Chain]:
        """Return the chains that have arrived; none if the engine is now loaded, or the part is finished.

        Raises:
            NsadError: The engine did not yield all chains of the part.
        """
        if not self.loaded:
            self.node = ray.get(self.pending)
            self.loaded, self.pending = True, None
            return []
        try:
            chains: list[Chain] = ray.get(next(self.pending))
        except StopIteration:
            if self.missing:  # they would be awaited forever
                raise _failure(RuntimeError(f"it ended with {len(self.missing)} chains missing")) from None
            self.pending = None
            return []
        for chain in chains:
            del self.missing[chain.problem_id, chain.index]
        self.delivered = True
        return chains

    def rest(self) -> list[Task]:
        """Return the tasks of the missing chains."""
        indices: dict[str, list[int]] = {}
        for problem, index in self.missing:
            indices.setdefault(problem, []).append(index)
        return [
            dataclasses.replace(self.missing[problem, own[0]], indices=tuple(own)) for problem, own in indices.items()
        ]


class RaySampler:
    """Samples with actors of a Ray cluster, which end on `close` or with the sampler.

    Args:
        student: The student's tokenizer and prompt; load it without weights.
        build: Builds an actor's engine from the model; it is pickled.
        model: The model, which travels through Ray's object store.
        address: See RayCluster.
        resources: What an actor takes.
    """

    plans_batches = False

    def __init__(
        self,
        student: Student,
        build: Callable[[bytes], Sampler],
        model: bytes,
        address: str = "",
        resources: RayResources | None = None,
    ) -> None:
        self.student, self._build, self._model = student, build, model
        self._cluster, self._resources = RayCluster(address), resources or RayResources()
        self._pool: _Pool | None = None
        self._meter = _Meter()

    @property
    def rates(self) -> dict[str, float]:
        """The chains per second of each node in the last seconds; empty before any are known."""
        return self._meter.rates

    def sample(
        self,
        tasks: Sequence[Task],
        sampling: Sampling,
        *,
        seed: str,
        on_tokens: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Chain]:
        """See Sampler.sample; cached tasks are not sampled, and on_tokens is called once per chain, at its end.

        Raises:
            NsadError: Ray cannot start, no node has room for an actor, an engine fails, or actors keep failing.
        """
        wanted = [task for task in tasks if not task.cached]
        require_context(self.student, max((self.student.prompt_ids(t.question) for t in wanted), key=len, default=[]))
        if not wanted:
            return
        queue, pool, self._meter = WorkQueue(wanted), self._started(), _Meter()
        try:
            while queue.left or pool.busy:
                pool.grow()
                pool.give_out(queue, sampling, seed)
                name, chains, lost = pool.wait()
                queue.put_back(lost)
                self._meter.count(name, len(chains))
                for chain in chains:
                    on_tokens(len(chain.logprobs))
                    yield chain
        finally:
            pool.drop_busy()  # of a caller that has stopped early

    def _started(self) -> _Pool:
        if self._pool is None:
            self._pool = _Pool(self._cluster.connect(), self._build, self._model, self._resources)
            self._end = weakref.finalize(self, self._pool.close)
        return self._pool

    def close(self) -> None:
        """End the actors, and the cluster if no other sampler uses it; this one cannot be used again."""
        if self._pool is not None:
            self._end()
            self._pool = None
        self._cluster.close()


class _Pool:
    """The actors."""

    def __init__(self, ray: Any, build: Callable[[bytes], Sampler], model: bytes, resources: RayResources) -> None:
        self._ray, self._build, self._resources = ray, build, resources
        self._model, self._worker = ray.put(model), ray.remote(Worker)
        self._actors: list[_Actor] = []
        self._names: dict[str, str] = {}
        """The names of nodes by their ids."""
        self._losses = 0
        self._looked: float | None = None
        self._has_room = True

    @property
    def busy(self) -> bool:
        """Whether any chain is missing."""
        return any(actor.missing for actor in self._actors)

    def grow(self) -> None:
        """Start actors where there is room for more, at most every NODES_SECONDS or after a loss.

        Raises:
            NsadError: No node has room for an actor, and none had before.
        """
        now = time.monotonic()
        if self._looked is not None and now - self._looked < NODES_SECONDS:
            return
        found = places(self._ray.nodes(), self._resources)
        if not found and not self._actors and self._looked is None:
            raise NsadError(
                "no node of the Ray cluster has room for an actor",
                f"an actor takes {self._resources}, and the nodes have less",
                "set ray.cpus and ray.gpus of the recipe, or start a node that has as many",
            )
        if self._has_room and not found:
            note("ray: no node is left; waiting for one to join (chains that have arrived are kept)")
        self._has_room, self._looked = bool(found), now
        self._names |= {place.node: place.name for place in found}
        new = missing_places(found, [actor.node for actor in self._actors])
        self._actors += map(self._start, new)
        if new:
            logger.info("ray: starting actors on %s", ", ".join(place.name for place in new))

    def _start(self, place: Place) -> _Actor:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # soft: a node that has just died may still be listed, and the actor is then placed on another one
        strategy = NodeAffinitySchedulingStrategy(place.node, soft=True)
        options = self._worker.options(num_cpus=place.cpus, num_gpus=place.gpus, scheduling_strategy=strategy)
        handle = options.remote(self._build, self._model, place.gpus > 0)
        return _Actor(handle, place.node, handle.load.remote())

    def give_out(self, queue: WorkQueue, sampling: Sampling, seed: str) -> None:
        """Give a part of the queue to each idle actor."""
        for actor in self._actors:
            if actor.loaded and actor.pending is None and queue.left:
                part = queue.take(len(self._actors))
                actor.missing = {(task.problem_id, index): task for task in part for index in task.indices}
                actor.pending = actor.handle.sample.options(num_returns="streaming").remote(part, sampling, seed)

    def wait(self) -> tuple[str, list[Chain], list[Task]]:
        """Wait until an actor has something, at most NODES_SECONDS.

        Returns:
            The actor's node, the chains that arrived, and the tasks that a lost actor has left.

        Raises:
            NsadError: An engine failed, or actors keep failing.
        """
        waiting = {actor.pending: actor for actor in self._actors if actor.pending is not None}
        if not waiting:
            time.sleep(NODES_SECONDS)
            return "", [], []
        done, _ = self._ray.wait(list(waiting), num_returns=1, timeout=NODES_SECONDS)
        if not done:
            return "", [], []
        actor = waiting[done[0]]
        name = self._names.get(actor.node, actor.node)
        self._actors.remove(actor)  # to the end of the list, so that no actor waits for a busier one
        self._actors.append(actor)
        errors = self._ray.exceptions
        try:
            chains = actor.receive(self._ray)
        except errors.RayTaskError as error:
            raise error.cause if isinstance(error.cause, NsadError) else _failure(error.cause) from None
        except errors.RayError as error:  # the actor or its node is lost
            return name, [], self._lose(actor, name, error)
        self._losses = 0 if chains else self._losses
        return name, chains, []

    def _lose(self, actor: _Actor, name: str, error: Exception) -> list[Task]:
        """Forget a lost actor, and return what is left of its part.

        Raises:
            NsadError: Actors keep failing.
        """
        self._end(actor)
        self._looked = time.monotonic() - NODES_SECONDS
        self._losses += not actor.delivered
        if self._losses > MAX_LOSSES:
            raise _failure(error)
        if actor.missing:
            note(f"ray: lost an actor on {name}; its other {len(actor.missing)} chains are given out again")
        return actor.rest()

    def _end(self, actor: _Actor) -> None:
        self._actors.remove(actor)
        with contextlib.suppress(Exception):  # it, its node or the cluster may be gone
            if actor.loaded and actor.pending is None:
                actor.handle.__ray_terminate__.remote()  # unlike kill, it lets the engine clean up
            else:
                self._ray.kill(actor.handle)

    def drop_busy(self) -> None:
        """End the actors that have not delivered all of their part."""
        for actor in [actor for actor in self._actors if actor.missing]:
            self._end(actor)

    def close(self) -> None:
        """End all actors."""
        for actor in list(self._actors):
            self._end(actor)


class _Meter:
    """Counts the chains per second of each node."""

    def __init__(self) -> None:
        self.rates: dict[str, float] = {}
        self._since = time.monotonic()
        self._chains: Counter[str] = Counter()

    def count(self, name: str, chains: int) -> None:
        """Count chains of a node."""
        self._chains[name] += chains
        seconds = time.monotonic() - self._since
        if seconds >= RATE_SECONDS:
            self.rates = {node: round(own / seconds, 2) for node, own in sorted(self._chains.items()) if own}
            self._chains.clear()
            self._since = time.monotonic()


def _failure(error: Exception) -> NsadError:
    fix = f"see Ray's logs on the node ({LOGS}); chains that arrived are kept: run the same command again"
    return NsadError("an engine of a Ray actor failed", first_line(error), fix)
