"""Marks of tests that need a package of an extra."""

from __future__ import annotations

import importlib.util

import pytest

needs_submitit = pytest.mark.skipif(
    importlib.util.find_spec("submitit") is None, reason="submitit is not installed: pip install 'nsad[slurm]'"
)
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'nsad[ray]'"
)
