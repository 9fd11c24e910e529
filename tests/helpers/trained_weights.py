"""The weights that a run has trained: read, and compared with another run's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file

if TYPE_CHECKING:
    from nsad_cli.runs.run import Run


def weights(run: Run) -> dict[str, torch.Tensor]:
    """All trained tensors of a run."""
    return {
        f"{name}/{file.name}/{key}": value
        for name in ("negative", "nat", "nce", "ranker")
        for file in sorted(run.adapter_path(name).glob("*.safetensors"))
        for key, value in load_file(file).items()
    }


def assert_same_weights(one: Run, other: Run) -> None:
    expected, found = weights(one), weights(other)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
