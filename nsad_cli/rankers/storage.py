"""A ranker's folder: all weights are in safetensors; head.safetensors also has the kind and the calibration."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save

from nsad_cli.models.nat.adapter_files import require_finite
from nsad_cli.rankers.calibration import Calibration
from nsad_cli.rankers.kinds import scorer_class
from nsad_cli.rankers.metadata import HEAD_FILE, METADATA_KEY, ranker_name, read_metadata
from nsad_cli.utils.files import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.models.nat.adapters import Adapters
    from nsad_cli.models.student import Student
    from nsad_cli.rankers.base import Scorer, TrainedRanker

CALIBRATION = "calibration"
"""The tensor (scale, shift)."""


def save_ranker(scorer: Scorer, calibration: Calibration, folder: Path, *, reads: str = "") -> None:
    """Save a ranker, replacing the folder; `reads`: the digest of the weights whose states a probe reads."""
    shutil.rmtree(folder, ignore_errors=True)
    scorer.save(folder)
    tensors = {name: value.detach().cpu().contiguous() for name, value in scorer.head_tensors().items()}
    tensors[CALIBRATION] = torch.tensor([calibration.scale, calibration.shift])
    # One key, since the order of several is random, and equal rankers must give equal files.
    about = json.dumps({"kind": scorer.kind, "reads": reads})
    write_atomic(folder / HEAD_FILE, save(tensors, metadata={METADATA_KEY: about}))


def load_ranker(student: Student, adapters: Adapters, folder: Path) -> TrainedRanker:
    """Load a ranker, named as ranker_name says.

    A probe needs the adapter that it reads in memory.

    Raises:
        NsadError: The folder contains no ranker, or one of a plugin that is not installed.
    """
    kind, tensors = read_metadata(folder)["kind"], load_file(folder / HEAD_FILE)
    require_finite(tensors, folder)
    scale, shift = tensors.pop(CALIBRATION, torch.tensor([1.0, 0.0])).tolist()
    scorer = scorer_class(kind).restore(student, adapters, folder, tensors)
    return scorer.ranker(Calibration(scale, shift), ranker_name(folder))
