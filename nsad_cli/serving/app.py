"""The HTTP application: routes, authentication, limits and streams, on aiohttp."""

from __future__ import annotations

import contextlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from nsad_cli.errors import NsadError, UsageError
from nsad_cli.inference.solution_json import solution_json
from nsad_cli.serving.live_solver import Answer
from nsad_cli.serving.protocol import (
    BadRequestError,
    Defaults,
    Request,
    answer_chunks,
    error_object,
    model_list,
    progress_chunk,
    read_request,
    reply,
)
from nsad_cli.utils.logs import logger

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable, Callable

    from nsad_cli.serving.live_solver import LiveSolver, Progress
    from nsad_cli.serving.metrics import Metrics

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_BODY_BYTES = 2**20
RETRY_SECONDS = 1
"""What a refused client is told to wait."""
DRAIN_SECONDS = 60.0
"""The time that requests in flight have to finish when the server shuts down."""
OPEN_PATHS = ("/health",)
"""Paths that need no key."""


class Service:
    """The state of the application.

    Args:
        solver: Answers questions.
        defaults: What requests get that do not say otherwise.
        metrics: The counters.
        api_key: The key that clients must send; None for none.
        max_requests: The most requests that are answered at the same time; more are refused with 429.
    """

    def __init__(
        self, solver: LiveSolver, defaults: Defaults, metrics: Metrics, api_key: str | None, max_requests: int
    ) -> None:
        self.solver, self.defaults, self.metrics = solver, defaults, metrics
        self.api_key, self.max_requests = api_key, max_requests
        self.draining = False
        """Whether the server is shutting down: requests in flight are finished, others refused."""
        self._created = int(time.time())

    def application(self) -> web.Application:
        """Build the application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._errors])
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._text)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        return app

    @web.middleware
    async def _errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check the key, and turn errors into the API's objects."""
        try:
            if request.path not in OPEN_PATHS and not self._has_key(request):
                return _error(401, "The API key is missing or wrong.", "authentication_error", "invalid_api_key")
            return await handler(request)
        except BadRequestError as error:
            return _error(error.status, str(error), "invalid_request_error", error.code, error.parameter)
        except web.HTTPException as error:
            return _error(error.status, error.reason, "invalid_request_error")
        except NsadError as error:
            # The text of a usage error is the client's to mend; another one is the server's.
            status, kind = (400, "invalid_request_error") if _is_clients(error) else (500, "server_error")
            return _error(status, f"{error.what}: {error.why}; {error.fix}", kind)
        except Exception:
            logger.exception("a request failed")
            return _error(500, "The server failed; its log says why.", "server_error")

    def _has_key(self, request: web.Request) -> bool:
        if self.api_key is None:
            return True
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(key.strip().encode(), self.api_key.encode())

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, chat=True)

    async def _text(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, chat=False)

    async def _answer(self, http: web.Request, *, chat: bool) -> web.StreamResponse:
        started, outcome = time.monotonic(), "cancelled"
        if self.draining or self.metrics.in_flight >= self.max_requests:
            why = "The server is shutting down." if self.draining else "Too many requests are in flight."
            refused = _error(503 if self.draining else 429, why, "overloaded_error")
            refused.headers["Retry-After"] = str(RETRY_SECONDS)
            self.metrics.finished(str(refused.status), 0.0)
            return refused
        self.metrics.in_flight += 1
        try:
            request = read_request(await _json(http), self.defaults, chat=chat)
            done = await (self._stream(http, request) if request.stream else self._whole(request))
            outcome = str(done.status)
            return done
        except BadRequestError as error:
            outcome = str(error.status)
            raise
        except (NsadError, web.HTTPException):
            outcome = "error"
            raise
        finally:
            self.metrics.in_flight -= 1
            self.metrics.finished(outcome, time.monotonic() - started)

    async def _whole(self, request: Request) -> web.Response:
        async for state in self._states(request):
            if isinstance(state, Answer):
                return web.json_response(reply(request, state, solution_json(state.solution, request.ask.votes)))
        raise NsadError("the vote did not end", "the engine returned too few chains", "send the request again")

    async def _stream(self, http: web.Request, request: Request) -> web.StreamResponse:
        """Send the state of the vote after each chain, then the answer, as server-sent events."""
        states = self._states(request)
        first = await anext(states)  # an error until here has a status of its own
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(http)
        try:
            await self._send_state(response, request, first)
            async for state in states:
                await self._send_state(response, request, state)
        except NsadError as error:
            await _send(response, error_object(f"{error.what}: {error.why}", "server_error"))
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _send_state(self, response: web.StreamResponse, request: Request, state: Progress | Answer) -> None:
        if isinstance(state, Answer):
            solution = solution_json(state.solution, request.ask.votes)
            for chunk in answer_chunks(request, state, solution):
                await _send(response, chunk)
        else:
            await _send(response, progress_chunk(request, state))

    async def _states(self, request: Request) -> AsyncIterator[Progress | Answer]:
        async with contextlib.aclosing(self.solver.solve(request.ask)) as states:
            async for state in states:
                yield state

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response(model_list(self.defaults, self._created))

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"status": "draining" if self.draining else "ok"}, status=503 if self.draining else 200
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=self.metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})


async def _json(http: web.Request) -> Any:
    try:
        return json.loads(await http.read())
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"The body is not JSON: {error}.") from None


async def _send(response: web.StreamResponse, value: dict[str, Any]) -> None:
    await response.write(f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode())


def _error(status: int, message: str, kind: str, code: str | None = None, parameter: str | None = None) -> web.Response:
    return web.json_response(error_object(message, kind, parameter, code), status=status)


def _is_clients(error: NsadError) -> bool:
    """Return whether an error is of the request: an invalid setting, or a prompt that does not fit."""
    return isinstance(error, UsageError) or "does not fit into" in error.what


async def serve(service: Service, host: str, port: int, stop: asyncio.Event, ready: Callable[[int], None]) -> None:
    """Serve until `stop` is set; then requests in flight are finished, up to DRAIN_SECONDS.

    Args:
        service: The service.
        host: The address to listen on.
        port: The port; 0 for any free one.
        stop: Ends the server.
        ready: Called with the port once requests are accepted.

    Raises:
        NsadError: The address cannot be used.
    """
    runner = web.AppRunner(
        service.application(), handler_cancellation=True, shutdown_timeout=DRAIN_SECONDS, access_log=None
    )
    await runner.setup()
    try:
        try:
            site = web.TCPSite(runner, host, port)
            await site.start()
        except OSError as error:
            why = error.strerror or str(error)
            raise NsadError(f"cannot listen on {host}:{port}", why, "choose another --port or --host") from error
        addresses: list[tuple[str, int]] = runner.addresses
        ready(addresses[0][1])
        await stop.wait()
        service.draining = True
    finally:
        await runner.cleanup()
