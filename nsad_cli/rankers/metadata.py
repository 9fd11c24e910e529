"""Metadata of a ranker's folder, readable without loading its weights: kind and name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nsad_cli.config.ranker_kinds import HEAD
from nsad_cli.config.stages import RANKER, STUDENT
from nsad_cli.errors import NsadError, first_line
from nsad_cli.rankers.calibration import Calibration
from nsad_cli.rankers.scoring import Scoring
from nsad_cli.utils.files import weights_digest

if TYPE_CHECKING:
    from pathlib import Path

ADAPTER = RANKER.name
"""The stage's name, its folder's, and the name of the head ranker's LoRA."""
HEAD_FILE = "head.safetensors"
METADATA_KEY = "ranker"
CALIBRATION = "calibration"
"""The tensor (scale, shift)."""
PROBED_MODEL = STUDENT.name
"""The model whose hidden states a probe reads: the one that answers."""


def read_metadata(folder: Path) -> dict[str, Any]:
    """Read the `kind` of a folder's ranker, the digest `reads` of the weights that it reads, and its scoring.

    See Scoring.record for the scoring; a ranker of an earlier version has none.

    Raises:
        NsadError: The folder contains no ranker.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / HEAD_FILE
    try:
        with safe_open(path, "np") as file:  # torch would have to be imported for "pt"
            about = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
            return {"kind": HEAD, "reads": "", **about}
    except (OSError, ValueError, SafetensorError) as error:
        why = f"{HEAD_FILE} is missing" if not path.is_file() else first_line(error)
        raise NsadError(f"{folder} holds no ranker", why, "train one with `nsad train-ranker`") from error


def read_scoring(folder: Path) -> Scoring:
    """Read how a folder's ranker weights votes: calibration, fitted weights, and whether it is refused.

    Raises:
        NsadError: The folder contains no ranker.
    """
    from safetensors import safe_open

    about = read_metadata(folder)
    with safe_open(folder / HEAD_FILE, "np") as file:
        known = CALIBRATION in file.keys()  # noqa: SIM118  # the file is no mapping
        scale, shift = file.get_tensor(CALIBRATION).tolist() if known else (1.0, 0.0)
    return Scoring.of(about, Calibration(scale, shift))


def ranker_name(folder: Path, weights: str = "fitted") -> str:
    """Return a ranker's kind, a hash of its weights, and how it weights votes, which identify its scores.

    Args:
        folder: The ranker's folder.
        weights: The value of `solve.weights`.

    Raises:
        NsadError: The folder contains no ranker.
    """
    about = read_metadata(folder)
    name = f"{about['kind']}-{weights_digest(folder)[:8]}"
    return name if weights == "fitted" or not about.get("weighting") else f"{name}-{weights}"
