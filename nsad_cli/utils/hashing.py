"""Deterministic seeds and content keys, independent of the machine and of the order of calls."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def seed_of(*parts: str | int, bits: int) -> int:
    """Hash the parts into a seed of at most 64 bits; engines differ in the number of bits that they accept."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - bits)


def content_key(*parts: Any) -> str:
    """Hash settings and inputs into a stage's key: 16 hex digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=_plain).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    return value.key_values() if hasattr(value, "key_values") else str(value)
