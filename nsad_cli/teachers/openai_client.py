"""One server's chat completions over HTTP: replies as parsed JSON, and errors by their cause.

The openai package is not used here: its checks of parameters and its models of replies take about four times the
processor time of the request itself (aiohttp), and one process sends hundreds of requests a second. Its environment
variables are honoured.
"""

from __future__ import annotations

import json
import os
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from nsad_cli.teachers.openai_replies import words_of
from nsad_cli.utils.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

OPENAI_URL = "https://api.openai.com/v1"
ACCOUNT_HEADERS = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
"""Headers that choose one of a key's accounts, and the environment variables with their values."""
KEEP_ALIVE_SECONDS = 4.0
"""How long an unused connection stays open; less than the 5 seconds after which common servers close theirs."""


class StatusError(Exception):
    """The server answered with a status that is an error."""

    def __init__(self, status: int, headers: Mapping[str, str], blob: bytes) -> None:
        self.status, self.headers = status, headers
        body = _parsed(blob)
        fields = body.get("error", body) if isinstance(body, dict) else {}
        self.fields: Mapping[str, Any] = fields if isinstance(fields, dict) else {}
        """The fields of the error's body, if it has any."""
        words = words_of(body)
        text = blob.decode(errors="replace").strip()
        super().__init__(f"the server answered {status}: {words}" if words else text or f"the server answered {status}")

    @property
    def param(self) -> Any:
        """The parameter that the error is about."""
        return self.fields.get("param")

    @property
    def code(self) -> Any:
        """The API's error code."""
        return self.fields.get("code")


class ConnectionFailedError(Exception):
    """There is no complete reply: a refused, broken or timed-out connection.

    Args:
        text: What happened.
        sent: Whether the request may have reached the server, which may then charge for it.
        began: Whether a reply had begun to arrive.
        timed_out: Whether the server kept the connection, and sent nothing within the timeout.
    """

    def __init__(self, text: str, *, sent: bool = True, began: bool = False, timed_out: bool = False) -> None:
        super().__init__(text)
        self.sent, self.began, self.timed_out = sent, began, timed_out


class ChatClient:
    """Sends chat completion requests to one base URL.

    Args:
        base_url: The base URL; None for OpenAI's own, or the one in OPENAI_BASE_URL.
        key: The API key.
        timeout: Seconds to wait for a connection, and for the next bytes of a reply.
    """

    def __init__(self, base_url: str | None, key: str, timeout: float) -> None:
        self.base_url = (base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL).rstrip("/") + "/"
        self._url = f"{self.base_url}chat/completions"
        limits = aiohttp.ClientTimeout(total=None, sock_connect=timeout, sock_read=timeout)
        is_encrypted = self.base_url.startswith("https:")
        self._session = aiohttp.ClientSession(
            # the number of connections is limited by the number of requests in flight
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS, ssl=_ssl_context() if is_encrypted else True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_headers(key),
            timeout=limits,
            proxy=_proxy(self.base_url),
        )

    async def complete(self, body: dict[str, Any]) -> Any:
        """Send one request.

        Args:
            body: The fields of the request.

        Returns:
            The reply's JSON; its text if the server does not say that it is JSON.

        Raises:
            StatusError: The reply's status is an error.
            ConnectionFailedError: There is no complete reply.
            ValueError: The reply is not valid JSON.
        """
        began = False
        try:
            async with self._session.post(self._url, data=json.dumps(body).encode()) as response:
                began = True
                blob = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError) as error:
            raise ConnectionFailedError(str(error), sent=False) from error
        except aiohttp.InvalidURL as error:
            raise ConnectionFailedError(f"invalid address: {error}", sent=False) from error
        except TimeoutError as error:
            raise ConnectionFailedError(str(error), began=began, timed_out=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionFailedError(f"{type(error).__name__}: {error}", began=began) from error
        if response.status >= 400:
            raise StatusError(response.status, response.headers, blob)
        return json.loads(blob) if "json" in response.content_type else blob.decode(errors="replace")

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


def _parsed(blob: bytes) -> Any:
    """Parse the body of an error; None if it is not JSON."""
    try:
        return json.loads(blob)
    except ValueError:
        return None


def _headers(key: str) -> dict[str, str]:
    """Return the headers of every request, with those that the environment variables of the openai package name."""
    headers = {
        "Accept": "application/json",
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
        "User-Agent": f"nsad/{__version__}",
    }
    headers |= {name: value for name, variable in ACCOUNT_HEADERS.items() if (value := os.environ.get(variable))}
    for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip()] = value.strip()
    return headers


def _proxy(url: str) -> str | None:
    """Return the proxy for an address that the environment names, as in HTTPS_PROXY."""
    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return None if proxy is None or proxy_bypass(parts.netloc) else proxy


def _ssl_context() -> ssl.SSLContext:
    """Trust the certificates of the system (or SSL_CERT_FILE and SSL_CERT_DIR), and those of certifi."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
