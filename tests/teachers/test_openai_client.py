"""The client of one server: what it sends, and how it tells failures apart that are charged for from others."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from nsad_cli.teachers.openai_client import ChatClient, ConnectionFailedError, StatusError

if TYPE_CHECKING:
    from collections.abc import Callable

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def complete(reply: bytes, *, pause: float = 0.0, clients: Callable[[str], ChatClient]) -> Any:
    """Send one request to a server that sends `reply` and then closes the connection.

    Returns:
        The reply as the client returns it, and the request.
    """

    async def run() -> tuple[Any, bytes]:
        requests: list[bytes] = []
        served = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            requests.append(head)
            await asyncio.sleep(pause)
            writer.write(reply)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            served.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = clients(f"http://127.0.0.1:{port}/v1")
        try:
            return await client.complete({"model": "m"}), requests[0]
        finally:
            await client.close()
            server.close()
            if requests:
                await served.wait()

    return asyncio.run(run())


def client(url: str) -> ChatClient:
    return ChatClient(url, "sk-key", 5.0)


def test_the_variables_of_the_openai_package_are_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Team: maths\nX-Empty:")

    def by_variable(url: str) -> ChatClient:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        return ChatClient(None, "sk-key", 5.0)

    reply, request = complete(OK, clients=by_variable)
    assert reply == {}
    lines = request.decode().splitlines()
    assert lines[0] == "POST /v1/chat/completions HTTP/1.1"
    expected = {"Authorization: Bearer sk-key", "OpenAI-Organization: org-1", "OpenAI-Project: proj-1", "X-Team: maths"}
    assert expected <= set(lines)


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    def behind_proxy(url: str) -> ChatClient:
        monkeypatch.setenv("http_proxy", url.removesuffix("/v1"))
        return ChatClient("http://api.invalid/v1", "sk-key", 5.0)

    _, request = complete(OK, clients=behind_proxy)
    assert request.startswith(b"POST http://api.invalid/v1/chat/completions ")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    reply, _ = complete(OK, clients=client)
    assert reply == {}


def test_a_text_is_returned_as_it_is_and_broken_json_is_an_error() -> None:
    html = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\n<p>no"
    assert complete(html, clients=client)[0] == "<p>no"
    with pytest.raises(ValueError, match="line 1"):
        complete(OK.replace(b"{}", b'{"'), clients=client)


@pytest.mark.parametrize(
    ("reply", "sent", "began"),
    [(b"", True, False), (OK.replace(b"Length: 2", b"Length: 9"), True, True)],
    ids=["closed without a reply", "cut"],
)
def test_a_broken_connection_may_have_been_charged_for(reply: bytes, sent: bool, began: bool) -> None:
    with pytest.raises(ConnectionFailedError) as error:
        complete(reply, clients=client)
    assert (error.value.sent, error.value.began, error.value.timed_out) == (sent, began, False)


def test_a_refused_connection_sent_nothing() -> None:
    with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1") as error:
        complete(b"", clients=lambda _: client("http://127.0.0.1:9/v1"))
    assert not error.value.sent


def test_a_silent_server_times_out() -> None:
    with pytest.raises(ConnectionFailedError) as error:
        complete(OK, pause=1.0, clients=lambda url: ChatClient(url, "k", 0.1))
    assert error.value.timed_out
    assert error.value.sent


def test_an_error_has_the_fields_and_words_of_its_body() -> None:
    body = b'{"error": {"message": "too many", "code": "unsupported_value", "param": "n"}}'
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\nRetry-After: 3\r\n\r\n" % len(body)
    with pytest.raises(StatusError, match="the server answered 400: too many") as error:
        complete(head + body, clients=client)
    assert (error.value.param, error.value.code, error.value.headers["retry-after"]) == ("n", "unsupported_value", "3")
    with pytest.raises(StatusError, match=r"^oh no$"):
        complete(b"HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\noh no", clients=client)
