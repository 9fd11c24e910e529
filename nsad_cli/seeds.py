"""Seeds by name: the same parts give the same seed, on any machine and in any order of asking."""

from __future__ import annotations

import hashlib


def seed_of(*parts: str | int, bits: int) -> int:
    """Hash the parts into a seed of at most 64 bits; engines differ in how many they take."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - bits)
