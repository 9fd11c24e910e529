"""The Ray cluster of this process: started, or connected to, at its first use, and ended with its last user."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import signal
import threading
import time
import weakref
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError, first_line
from nsad_cli.utils.devices import without_selection
from nsad_cli.utils.logs import logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

START_ATTEMPTS = 3
"""Ray gives up on a node that takes over 30 s to start, as on a busy machine, and has no setting for it."""
LOGS = "/tmp/ray/session_latest/logs"


@dataclass(frozen=True, slots=True)
class RayResources:
    """What an actor takes of its node.

    Attributes:
        cpus: Cores; None for all of a node without GPUs, and an equal share for each GPU of others.
        gpus: GPUs; None for one on nodes that have any.
    """

    cpus: float | None = None
    gpus: float | None = None

    def __str__(self) -> str:
        cpus = "all cores of a node" if self.cpus is None else f"{self.cpus:g} cores"
        return cpus if not self.gpus else f"{cpus} and {self.gpus:g} GPUs"


@dataclass(frozen=True, slots=True)
class Place:
    """A node's room for one actor."""

    node: str
    """The node's id."""
    name: str
    """The node's name, or the name of its host."""
    cpus: float
    gpus: float


def require_ray() -> None:
    """Raise NsadError if Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise NsadError("the engine ray needs Ray", "the package ray is not installed", "pip install 'nsad[ray]'")


class RayCluster:
    """A use of the cluster; it lives as long as any use, so that samplers that follow each other share it.

    Args:
        address: The address of a running cluster, HOST:PORT or `auto`; empty to start one on this machine.
    """

    _uses = 0
    _address: str | None = None
    """The address of the cluster that this class has started or connected to; None if there is none."""

    def __init__(self, address: str) -> None:
        self.address = address
        RayCluster._uses += 1
        self.close = weakref.finalize(self, _end_use)
        """Ends this use."""

    def connect(self) -> Any:
        """Start or connect to the cluster unless this process has done so, and return the module `ray`.

        Raises:
            NsadError: Ray is not installed, or cannot start or be reached, or this process uses another cluster.
        """
        require_ray()
        import ray

        if not ray.is_initialized():
            _init(ray, self.address)
            RayCluster._address = self.address
        elif RayCluster._address not in (None, self.address):
            used = RayCluster._address or "of this machine"
            raise NsadError("a process uses one Ray cluster", f"this one uses the cluster {used}", "use that one")
        return ray


def _end_use() -> None:
    RayCluster._uses -= 1
    if RayCluster._uses == 0 and RayCluster._address is not None:
        import ray

        RayCluster._address = None
        ray.shutdown()


def _init(ray: Any, address: str) -> None:
    """Call ray.init; a local start is retried.

    Raises:
        NsadError: Ray cannot start or be reached.
    """
    more: dict[str, Any] = {} if address else {"include_dashboard": False}
    attempts = 1 if address else START_ATTEMPTS
    for attempt in range(1, attempts + 1):
        try:
            with _sigterm_kept(), without_selection():
                ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **more)
        except Exception as error:  # Ray raises many kinds, among them plain Exception
            ray.shutdown()
            if attempt == attempts:
                raise _start_error(address, error) from error
            logger.info("ray: attempt %d of %d to start failed: %s", attempt, attempts, first_line(error))
            time.sleep(2**attempt)
        else:
            return


def _start_error(address: str, error: Exception) -> NsadError:
    if address:
        fix = f"start Ray on this machine too, by `ray start --address={address}`; `ray status` shows the nodes"
        return NsadError(f"cannot connect to the Ray cluster {address}", first_line(error), fix)
    return NsadError("Ray cannot start on this machine", first_line(error), f"see {LOGS}, or use --engine hf")


@contextlib.contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Keep this process's handler of SIGTERM, which ray.init replaces by one that exits."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def places(nodes: Sequence[Mapping[str, Any]], resources: RayResources) -> list[Place]:
    """Return the room for actors on the living nodes.

    Args:
        nodes: The nodes as ray.nodes() describes them.
        resources: What an actor takes.
    """
    return [
        Place(node["NodeID"], _name(node), *fitting)
        for node in nodes
        if node["Alive"]
        for fitting in fitting_actors(node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0), resources)
    ]


def _name(node: Mapping[str, Any]) -> str:
    given, address = node.get("NodeName") or "", node["NodeManagerAddress"]
    return str(given if given not in ("", address) else node["NodeManagerHostname"])


def fitting_actors(cpus: float, gpus: float, resources: RayResources) -> list[tuple[float, float]]:
    """Return the (cores, GPUs) of each actor that fits on a node; empty if none does.

    Args:
        cpus: The node's cores.
        gpus: The node's GPUs.
        resources: What an actor takes.
    """
    own_gpus = min(1.0, gpus) if resources.gpus is None else resources.gpus
    by_gpus = int(gpus / own_gpus + 1e-9) if own_gpus else None
    own_cpus = resources.cpus
    if own_cpus is None:
        own_cpus = cpus if by_gpus is None else max(cpus // max(by_gpus, 1), 1)
    by_cpus = int(cpus / own_cpus + 1e-9) if own_cpus else 0
    return [(own_cpus, own_gpus)] * (by_cpus if by_gpus is None else min(by_cpus, by_gpus))


def missing_places(found: Sequence[Place], taken: Sequence[str]) -> list[Place]:
    """Return the places that have no actor.

    Args:
        found: All places.
        taken: The node id of each actor.
    """
    have = Counter(taken)
    missing = []
    for place in found:
        if have[place.node]:
            have[place.node] -= 1
        else:
            missing.append(place)
    return missing
