"""A server's API key: read from the environment, and kept out of what is shown."""

from __future__ import annotations

import os

from nsad_cli.errors import NsadError

NO_CONNECTION = ("ConnectTimeout", "ConnectError")
"""Causes of an openai error, by name, with which nothing has reached the server."""


def read_key(variable: str, owner: str) -> str:
    """The key that a variable holds, empty where it holds none.

    Raises NsadError for characters that no key has.
    """
    key = (os.environ.get(variable) or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise NsadError(
            f"the API key for {owner} is not one",
            f"the variable {variable} holds characters that no key has (a quotation mark, a line end)",
            f"export {variable}=… again, the key alone",
        )
    return key


def scrubbed(error: BaseException, key: str | None) -> str:
    """The error's text without the key, in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return (text.replace(key, "***") if key else text)[:300]
