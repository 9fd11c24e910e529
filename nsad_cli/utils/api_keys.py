"""API keys: reading them from the environment, and redacting them in messages."""

from __future__ import annotations

import os

from nsad_cli.errors import NsadError

CONNECTION_ERRORS = ("ConnectTimeout", "ConnectError")
"""Names of the causes of an openai error after which the request has not reached the server."""


def read_key(variable: str, owner: str) -> str:
    """Return the key in an environment variable, or an empty string if it is unset.

    Raises:
        NsadError: The value contains characters that are invalid in a key.
    """
    key = (os.environ.get(variable) or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise NsadError(
            f"the API key for {owner} is not one",
            f"the variable {variable} holds characters that no key has (a quotation mark, a line end)",
            f"export {variable}=… again, the key alone",
        )
    return key


def redact_key(error: BaseException, key: str | None) -> str:
    """Return the error's text in one line, with the key redacted."""
    text = " ".join(str(error).split()) or type(error).__name__
    return (text.replace(key, "***") if key else text)[:300]
