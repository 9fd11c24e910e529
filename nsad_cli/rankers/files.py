"""A ranker's folder: safetensors alone hold what was learned; head.safetensors tells the kind and the calibration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from nsad_cli.errors import NsadError, first_line
from nsad_cli.files import weights_digest, write_atomic
from nsad_cli.nat.adapters import Adapters
from nsad_cli.rankers.base import ADAPTER, ScoreHead, Scorer, TrainedRanker
from nsad_cli.rankers.calibration import Calibration
from nsad_cli.rankers.encoder import EncoderScorer, open_encoder
from nsad_cli.rankers.head import HeadScorer
from nsad_cli.rankers.probe import ProbeRanker, ProbeScorer
from nsad_cli.students import Student

HEAD_FILE = "head.safetensors"
ABOUT = "ranker"
CALIBRATION = "calibration"
"""The tensor (scale, shift)."""


def save_ranker(scorer: Scorer, calibration: Calibration, folder: Path, *, reads: str = "") -> None:
    """Save a ranker in place of what the folder held; `reads`: the digest of the weights whose states a probe reads."""
    shutil.rmtree(folder, ignore_errors=True)
    scorer.save(folder)
    tensors = {name: value.detach().cpu().contiguous() for name, value in scorer.head_tensors().items()}
    tensors[CALIBRATION] = torch.tensor([calibration.scale, calibration.shift])
    # One key: several come in an order of chance, and the same ranker is to be the same file.
    about = json.dumps({"kind": scorer.kind, "reads": reads})
    write_atomic(folder / HEAD_FILE, save(tensors, metadata={ABOUT: about}))


def described(folder: Path) -> dict[str, str]:
    """The `kind` of the ranker in a folder and what it `reads`.

    Raises NsadError where the folder holds no ranker.
    """
    path = folder / HEAD_FILE
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get(ABOUT, "{}"))
            return {"kind": HeadScorer.kind, "reads": "", **about}
    except (OSError, ValueError, SafetensorError) as error:
        why = f"{HEAD_FILE} is missing" if not path.is_file() else first_line(error)
        raise NsadError(f"{folder} holds no ranker", why, "train one with `nsad train-ranker`") from error


def load_ranker(student: Student, adapters: Adapters, folder: Path) -> TrainedRanker:
    """Load a ranker; its name is its kind and a hash of its weights, so that scores tell rankers apart.

    A probe needs the adapter that it reads in memory. Raises NsadError where the folder holds no ranker.
    """
    kind, tensors = described(folder)["kind"], load_file(folder / HEAD_FILE)
    scale, shift = tensors.pop(CALIBRATION, torch.tensor([1.0, 0.0])).tolist()
    calibration, name = Calibration(scale, shift), f"{kind}-{weights_digest(folder)[:8]}"
    if kind == EncoderScorer.kind:
        encoder = open_encoder(str(folder), adapters.model.device, seed=0)
        if encoder.head is not None:
            encoder.head.load_state_dict(tensors)
        return TrainedRanker(encoder, calibration, name)
    head = ScoreHead(tensors["weight"].shape[1], seed=0)
    head.load_state_dict(tensors)
    if kind == ProbeScorer.kind:
        return ProbeRanker(ProbeScorer(student, adapters, head), calibration, name)
    adapters.load(ADAPTER, folder)
    return TrainedRanker(HeadScorer(student, adapters, head), calibration, name)
