"""A fingerprint of a base model's weights, which tells a replaced model from the one that a run was trained on."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from nsad_cli.utils.files import file_stamp

BLOCK_BYTES = 64 * 1024
MAX_BLOCKS = 64
"""Blocks read of each weights file, at even distances, beside its beginning (the header of a safetensors file)."""
WEIGHTS = ("*.safetensors", "*.bin")


def fingerprint(folder: Path) -> str | None:
    """Return the fingerprint of a model folder's weights; None if it has none.

    It covers the sizes, the headers and sampled blocks of the weights files, not their path or time. Another model has
    another fingerprint, and so has one whose layers were all trained further; changes of a few tensors may be missed.
    """
    stamp = tuple(entry for pattern in WEIGHTS for file in sorted(folder.glob(pattern)) for entry in file_stamp(file))
    return _hash(stamp) if stamp else None


@functools.lru_cache(maxsize=8)
def _hash(stamp: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, size, _ in stamp:
        digest.update(size.to_bytes(8, "little"))
        step = max(BLOCK_BYTES, size // MAX_BLOCKS)
        with Path(name).open("rb") as file:
            for offset in range(0, size, step):
                file.seek(offset)
                digest.update(file.read(BLOCK_BYTES))
    return digest.hexdigest()[:16]
