"""API keys: reading them from the environment, and redacting them in messages."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from nsad_cli.errors import NsadError

CONNECTION_ERRORS = ("ConnectTimeout", "ConnectError")
"""Exception names of causes of an openai error that mean that the request has not reached the server."""

SECRET_VARIABLES = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
"""Endings of the names of environment variables with secrets."""
MIN_SECRET_CHARS = 8
KEY_FORMS = re.compile(
    r"\bhf_[A-Za-z0-9]{30,}|\bgsk_[A-Za-z0-9]{20,}|\bsk-[A-Za-z0-9]{20,}"
    r"|\bsk-(?=[A-Za-z_-]{0,200}[0-9])(?=[a-z0-9_-]{0,200}[A-Z])[A-Za-z0-9_-]{20,}"
)
"""Keys of Hugging Face, Groq and OpenAI; a name of several words that begins like one is no key."""


def address_has_secret(url: str) -> bool:
    """Return whether an address contains a password or a query; addresses are stored and shown."""
    parts = urlsplit(url)
    return bool(parts.username or parts.password or parts.query)


def read_key(variable: str, owner: str) -> str:
    """Return the key in an environment variable, or an empty string if it is unset.

    Raises:
        NsadError: The value contains characters that are invalid in a key.
    """
    key = (os.environ.get(variable) or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise NsadError(
            f"invalid API key for {owner}",
            f"the variable {variable} contains characters invalid in a key, such as a quotation mark",
            f"export {variable}=… again, with the key only",
        )
    return key


def redact_key(error: BaseException, key: str | None) -> str:
    """Return the error's text in one line, with the key redacted."""
    text = " ".join(str(error).split()) or type(error).__name__
    return (text.replace(key, "***") if key else text)[:300]


def redact_argument(argument: str) -> str:
    """Return an argument of a command with secrets replaced by `***`.

    Secrets are the values of environment variables of such names, texts of the form of an API key, and passwords and
    queries in addresses.
    """
    for name, value in os.environ.items():
        if name.endswith(SECRET_VARIABLES) and len(value) >= MIN_SECRET_CHARS:
            argument = argument.replace(value, "***")
    argument = re.sub(KEY_FORMS, "***", argument)
    argument = re.sub(r"(https?://)[^@\s]{1,500}@", r"\1***@", argument)
    return re.sub(r"(https?://[^?\s]{1,2000})\?[^\s,\]]+", r"\1?***", argument)
