"""What the tests against vLLM share; without vLLM none of them is collected."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


collect_ignore_glob = [] if importlib.util.find_spec("vllm") else ["test_*.py"]


@pytest.fixture(scope="session")
def model() -> Path:
    """SmolLM2 as a plain model folder."""
    from nsad_cli.models.student import smollm2_folder

    return smollm2_folder()
