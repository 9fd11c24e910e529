"""Counting a text's tokens: by OpenAI's encoding if it is available, else estimated from the text's bytes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

TOKENIZER_TIMEOUT_SECONDS = 10.0
"""Time to wait for an encoding's file, which tiktoken downloads once without a timeout of its own."""
BYTES_PER_TOKEN = 3
"""Measured: word problems have 4.1 bytes per token, MATH's questions 3.0 (encodings cl100k_base and o200k_base)."""


def token_counter(model: str) -> tuple[Callable[[str], int], str]:
    """Make a function that counts a text's tokens; it works offline too.

    Returns:
        The function, and a description of how it counts.
    """
    encoding = _encoding(model)
    if encoding is None:
        return (
            lambda text: -(-len(text.encode()) // BYTES_PER_TOKEN),
            f"estimated at {BYTES_PER_TOKEN} bytes per token: the model's tokenizer is not available",
        )
    return lambda text: len(encoding.encode_ordinary(text)), f"counted by tiktoken's {encoding.name}"


def _encoding(model: str) -> Any:
    """Load a model's encoding; None if tiktoken does not know the model or cannot download the file in time."""
    import tiktoken

    found: list[Any] = []

    def load() -> None:
        try:
            found.append(tiktoken.encoding_for_model(model))
        except Exception:  # unknown model, offline, refused or damaged: the caller estimates from bytes
            return

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    thread.join(TOKENIZER_TIMEOUT_SECONDS)
    return found[0] if found else None
