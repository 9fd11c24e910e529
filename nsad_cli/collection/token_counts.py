"""How many tokens a text is to a model: by OpenAI's own encoding where it can be had, else by its bytes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

TOKENIZER_TIMEOUT_SECONDS = 10.0
"""Seconds to wait for an encoding's file, which tiktoken downloads once, without a limit of its own."""
BYTES_PER_TOKEN = 3
"""Word problems have 4.1 bytes a token, the questions of MATH 3.0 (OpenAI's encodings cl100k_base and o200k_base)."""


def counter(model: str) -> tuple[Callable[[str], int], str]:
    """A function that counts a text's tokens, and in words how it does: never fails, whatever is not here."""
    encoding = _encoding(model)
    if encoding is None:
        return (
            lambda text: -(-len(text.encode()) // BYTES_PER_TOKEN),
            f"estimated, a token for {BYTES_PER_TOKEN} bytes: the model's tokenizer is not here",
        )
    return lambda text: len(encoding.encode_ordinary(text)), f"counted by tiktoken's {encoding.name}"


def _encoding(model: str) -> Any:
    """A model's encoding; None for a model that tiktoken does not know, or a file that does not come in time."""
    import tiktoken

    found: list[Any] = []

    def load() -> None:
        try:
            found.append(tiktoken.encoding_for_model(model))
        except Exception:  # unknown to it, offline, refused, damaged: then the bytes have to do
            return

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    thread.join(TOKENIZER_TIMEOUT_SECONDS)
    return found[0] if found else None
