"""A server of a run: loads its model and ranker, serves, and shuts down on a signal."""

from __future__ import annotations

import asyncio
import signal
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.config.engine_spec import parse_engine
from nsad_cli.config.stages import STUDENT
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.generation.sampler import Sampling
from nsad_cli.runs.models import best_model
from nsad_cli.serving.protocol import Defaults
from nsad_cli.utils.devices import select_gpu
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Callable

    from nsad_cli.inference.solver import VoteSettings
    from nsad_cli.runs.run import Run


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where and how a run is served.

    Attributes:
        host: The address to listen on.
        port: The port; 0 for any free one.
        api_key: The key that clients must send; None for none.
        max_requests: The most requests that are answered at the same time.
        max_prompt_tokens: The longest prompt.
        device: The device, instead of the recipe's.
        engine: The engine that samples chains, see parse_engine; None for the run's.
    """

    host: str
    port: int
    api_key: str | None = None
    max_requests: int = 256
    max_prompt_tokens: int = 2048
    device: str | None = None
    engine: str | None = None


def serve_run(
    run: Run, votes: VoteSettings, settings: ServerSettings, on_ready: Callable[[str], None] = lambda _: None
) -> None:
    """Serve a run's best model until SIGINT or SIGTERM.

    Args:
        run: The run.
        votes: The votes of requests that do not say otherwise.
        settings: The address and limits.
        on_ready: Called with the base URL once requests are accepted.

    Raises:
        UsageError: The engine is invalid, or the rule does not support early stopping.
        NsadError: The model cannot be loaded, or the address cannot be used.
    """
    recipe = run.recipe_with({"student.device": settings.device})
    chosen = parse_engine(settings.engine or recipe.student.sampled_by)
    if chosen.by_ray:
        raise UsageError(
            "nsad serve does not support the engine ray",
            "single requests do not fill the actors of a cluster",
            "use --engine vllm, or start a server on each node and use --engine server@URL,URL",
        )
    listener = listen(settings.host, settings.port)  # before the model is loaded, which takes long
    note(f"run: {run.name}; loading the student …")
    select_gpu(recipe.student.device)
    from nsad_cli.inference.session import Session  # importing torch is slow: after the note
    from nsad_cli.inference.solver import Election

    session = Session(run, recipe)
    model, ranker = best_model(run), session.ranker()
    sampler = session.sampler(model, chosen.spec)
    election = Election(ranker, votes)
    missing = "" if model == STUDENT.name else f" (no {STUDENT.name} student in this run)"
    note(f"model: {model}{missing}; {votes.samples} chains a request; rule {election.settings.rule}")
    for line in election.notes:
        note(line)
    defaults = Defaults(run.name, votes, Sampling.of(recipe.sampling))

    async def main() -> None:
        from nsad_cli.serving.app import Service, serve
        from nsad_cli.serving.engines import live_engine
        from nsad_cli.serving.graders import Graders
        from nsad_cli.serving.live_solver import LiveSolver
        from nsad_cli.serving.metrics import Metrics

        stop, loop, metrics = asyncio.Event(), asyncio.get_running_loop(), Metrics()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, _stop, stop, name)
        engine = await asyncio.to_thread(live_engine, sampler, ranker, loop)
        most = settings.max_prompt_tokens
        solver = LiveSolver(session.prompter(model), engine, ranker, Graders(), most, metrics.chain)
        service = Service(solver, defaults, metrics, settings.api_key, settings.max_requests)
        url = f"http://{_shown(settings.host)}:{listener.getsockname()[1]}/v1"
        try:
            await serve(service, listener, stop, lambda: on_ready(url))
        finally:
            await solver.close()

    asyncio.run(main())


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Raises:
        NsadError: The address cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        why = error.strerror or str(error)
        raise NsadError(f"cannot listen on {host}:{port}", why, "choose another --port or --host") from error
    return listener


def _stop(stop: asyncio.Event, received: signal.Signals) -> None:
    """Begin to shut down; a second signal ends the process at once."""
    if not stop.is_set():
        note(f"{received.name}: finishing the requests in flight; send it again to end at once")
        stop.set()
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(name)
            signal.signal(name, signal.SIG_DFL)


def _shown(host: str) -> str:
    return "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
