"""The HTTP application: routes, authentication, limits and streams, on aiohttp."""

from __future__ import annotations

import asyncio
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
    import socket
    from collections.abc import Awaitable, Callable

    from nsad_cli.serving.live_solver import LiveSolver, Progress
    from nsad_cli.serving.metrics import Metrics

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_BODY_BYTES = 2**20
RETRY_SECONDS = 1
"""The value of Retry-After in a refusal."""
CLIENT_SECONDS = 30.0
"""The time that a client has to send its body, and to take what is sent to it."""
KEEP_ALIVE_SECONDS = 75.0
CANCEL_SECONDS = 1.0
"""The time that requests have to end after DRAIN_SECONDS."""
POLL_SECONDS = 0.05
DRAIN_SECONDS = 60.0
"""The time that requests in flight have to finish when the server shuts down."""
FAILED = "The server failed to answer; its log says why."
STREAM_FAILED = "nsad.stream_failed"
"""The entry of a response whose stream ended with an error."""
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
        app.router.add_get("/v1/models/{id}", self._model)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        return app

    @web.middleware
    async def _errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check the key, and turn errors into the API's objects."""
        try:
            if request.path not in OPEN_PATHS and not self._has_key(request):
                return _error(401, "The API key is missing or wrong.", "authentication_error", "invalid_api_key")
            if self.api_key is None and "Origin" in request.headers:
                why = "Requests of web pages need a server with an API key: any page could use this one."
                return _error(403, why, "permission_error")
            return await handler(request)
        except BadRequestError as error:
            return _error(error.status, str(error), "invalid_request_error", error.code, error.parameter)
        except web.HTTPException as error:
            return _error(error.status, error.reason, "invalid_request_error")
        except UsageError as error:
            return _error(400, f"{error.what}: {error.why}; {error.fix}", "invalid_request_error")
        except ConnectionError:  # the client has hung up
            raise
        except Exception as error:
            _log(error)
            return _error(500, FAILED, "server_error")

    def _has_key(self, request: web.Request) -> bool:
        if self.api_key is None:
            return True
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        given = key.strip().encode(errors="surrogateescape")
        return scheme.lower() == "bearer" and hmac.compare_digest(given, self.api_key.encode())

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
            self.metrics.refused(str(refused.status))
            return refused
        self.metrics.in_flight += 1
        try:
            request = read_request(await _json(http), self.defaults, chat=chat)
            done = await (self._stream(http, request) if request.stream else self._whole(request))
            outcome = "500" if done.get(STREAM_FAILED) else str(done.status)
            return done
        except (BadRequestError, web.HTTPException) as error:
            outcome = str(error.status)
            raise
        except UsageError:
            outcome = "400"
            raise
        except ConnectionError:
            raise
        except Exception:
            outcome = "500"
            raise
        finally:
            self.metrics.in_flight -= 1
            self.metrics.finished(outcome, time.monotonic() - started)

    async def _whole(self, request: Request) -> web.Response:
        async with contextlib.aclosing(self.solver.solve(request.ask)) as states:
            async for state in states:
                if isinstance(state, Answer):
                    return web.json_response(await asyncio.to_thread(_reply, request, state))
        raise NsadError("the vote did not end", "the engine returned too few chains", "send the request again")

    async def _stream(self, http: web.Request, request: Request) -> web.StreamResponse:
        """Send the state of the vote after each chain, then the answer, as server-sent events."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        async with contextlib.aclosing(self.solver.solve(request.ask)) as states:
            first = await anext(states)  # an error until here has a status of its own
            await response.prepare(http)
            try:
                await _send_state(response, request, first)
                async for state in states:
                    await _send_state(response, request, state)
            except ConnectionError:
                raise
            except Exception as error:  # the status has been sent: an event has to say it
                _log(error)
                response[STREAM_FAILED] = True
                await _send(response, error_object(FAILED, "server_error"))
            await _write(response, b"data: [DONE]\n\n")
        return response

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response(model_list(self.defaults, self._created))

    async def _model(self, request: web.Request) -> web.Response:
        (model,) = model_list(self.defaults, self._created)["data"]
        if request.match_info["id"] != model["id"]:
            raise BadRequestError("The model does not exist.", "model", status=404, code="model_not_found")
        return web.json_response(model)

    async def _health(self, _: web.Request) -> web.Response:
        state = "failed" if self.solver.engine.failed else "draining" if self.draining else "ok"
        return web.json_response({"status": state}, status=200 if state == "ok" else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=self.metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})


async def _json(http: web.Request) -> Any:
    try:
        async with asyncio.timeout(CLIENT_SECONDS):
            return json.loads(await http.read())
    except TimeoutError:
        raise BadRequestError(f"The body did not arrive within {CLIENT_SECONDS:g} s.", status=408) from None
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"The body is not JSON: {error}.") from None


def _reply(request: Request, answer: Answer) -> dict[str, Any]:
    return reply(request, answer, solution_json(answer.solution, request.ask.votes))


async def _send_state(response: web.StreamResponse, request: Request, state: Progress | Answer) -> None:
    if isinstance(state, Answer):
        solution = await asyncio.to_thread(solution_json, state.solution, request.ask.votes)
        for chunk in answer_chunks(request, state, solution):
            await _send(response, chunk)
    else:
        await _send(response, progress_chunk(request, state))


async def _send(response: web.StreamResponse, value: dict[str, Any]) -> None:
    await _write(response, f"data: {json.dumps(value)}\n\n".encode())


async def _write(response: web.StreamResponse, data: bytes) -> None:
    """Write to a client.

    Raises:
        ConnectionError: It does not take it in time.
    """
    try:
        async with asyncio.timeout(CLIENT_SECONDS):
            await response.write(data)
    except TimeoutError:
        raise ConnectionResetError("the client takes nothing") from None


def _log(error: Exception) -> None:
    """Log an error of the server: clients do not see addresses and paths."""
    if isinstance(error, NsadError):
        logger.warning("a request failed: %s: %s", error.what, error.why)
    else:
        logger.error("a request failed", exc_info=error)


def _error(status: int, message: str, kind: str, code: str | None = None, parameter: str | None = None) -> web.Response:
    return web.json_response(error_object(message, kind, parameter, code), status=status)


async def serve(service: Service, listener: socket.socket, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Serve until `stop` is set; then requests in flight are finished, up to DRAIN_SECONDS.

    Args:
        service: The service.
        listener: The socket to accept connections from.
        stop: Ends the server.
        ready: Called once requests are accepted.
    """
    runner = web.AppRunner(
        service.application(),
        handler_cancellation=True,
        shutdown_timeout=CANCEL_SECONDS,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
        access_log=None,
    )
    await runner.setup()
    try:
        site = web.SockSite(runner, listener)
        await site.start()
        ready()
        await stop.wait()
        service.draining = True
        await site.stop()
        deadline = time.monotonic() + DRAIN_SECONDS
        while service.metrics.in_flight and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
    finally:
        await runner.cleanup()
