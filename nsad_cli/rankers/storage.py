"""A ranker's folder: all weights are in safetensors; head.safetensors also has the kind and the calibration."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save

from nsad_cli.config.ranker_kinds import STEPS
from nsad_cli.models.nat.adapter_files import require_finite
from nsad_cli.rankers.calibration import Calibration
from nsad_cli.rankers.kinds import scorer_class
from nsad_cli.rankers.metadata import CALIBRATION, HEAD_FILE, METADATA_KEY, ranker_name, read_metadata
from nsad_cli.rankers.scoring import Scoring
from nsad_cli.rankers.steps import StepsRanker
from nsad_cli.utils.files import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from nsad_cli.models.nat.adapters import Adapters
    from nsad_cli.models.student import Student
    from nsad_cli.rankers.base import Scorer, TrainedRanker


def save_ranker(scorer: Scorer, scoring: Scoring, folder: Path, *, reads: str = "") -> None:
    """Save a ranker, replacing the folder; `reads`: the digest of the weights whose states a probe reads."""
    shutil.rmtree(folder, ignore_errors=True)
    scorer.save(folder)
    _write_head(scorer.kind, scorer.head_tensors(), scoring, folder, reads)


def save_steps(scoring: Scoring, folder: Path) -> None:
    """Save a ranker of kind `steps`, replacing the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    _write_head(STEPS, {}, scoring, folder, "")


def _write_head(kind: str, tensors: dict[str, Tensor], scoring: Scoring, folder: Path, reads: str) -> None:
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    tensors[CALIBRATION] = torch.tensor([scoring.calibration.scale, scoring.calibration.shift])
    # One key, since the order of several is random, and equal rankers must give equal files.
    about = json.dumps({"kind": kind, "reads": reads, **scoring.record()})
    write_atomic(folder / HEAD_FILE, save(tensors, metadata={METADATA_KEY: about}))


def load_ranker(student: Student, adapters: Adapters, folder: Path, weights: str = "fitted") -> TrainedRanker:
    """Load a ranker with weights of its own, named as ranker_name says.

    A probe needs the adapter that it reads in memory.

    Args:
        student: The run's student.
        adapters: The adapters on its base.
        folder: The ranker's folder.
        weights: The value of `solve.weights`.

    Raises:
        NsadError: The folder contains no ranker, or one of a plugin that is not installed.
    """
    about, tensors = read_metadata(folder), load_file(folder / HEAD_FILE)
    require_finite(tensors, folder)
    scale, shift = tensors.pop(CALIBRATION, torch.tensor([1.0, 0.0])).tolist()
    scorer = scorer_class(about["kind"]).restore(student, adapters, folder, tensors)
    scoring = Scoring.of(about, Calibration(scale, shift))
    return scorer.ranker(scoring.with_weights(weights), ranker_name(folder, weights))


def load_steps(folder: Path, weights: str = "fitted") -> StepsRanker:
    """Load a ranker of kind `steps`; without the fitted weights it uses the default exponent."""
    scoring = Scoring.of(read_metadata(folder), Calibration())
    weighting = scoring.weighting if weights == "fitted" else None
    return StepsRanker(weighting, ranker_name(folder, weights), scoring.refused)
