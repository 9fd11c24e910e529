"""Metadata of a ranker's folder, readable without loading its weights: kind and name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nsad_cli.config.ranker_kinds import HEAD
from nsad_cli.config.stages import RANKER, STUDENT
from nsad_cli.errors import NsadError, first_line
from nsad_cli.utils.files import weights_digest

if TYPE_CHECKING:
    from pathlib import Path

ADAPTER = RANKER.name
"""The stage's name, its folder's, and the name of the head ranker's LoRA."""
HEAD_FILE = "head.safetensors"
METADATA_KEY = "ranker"
PROBED_MODEL = STUDENT.name
"""The model whose hidden states a probe reads: the one that answers."""


def read_metadata(folder: Path) -> dict[str, str]:
    """Read the `kind` of a folder's ranker, and the digest `reads` of the weights that it reads.

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


def ranker_name(folder: Path) -> str:
    """Return a ranker's kind and a hash of its weights, which identify its scores.

    Raises:
        NsadError: The folder contains no ranker.
    """
    return f"{read_metadata(folder)['kind']}-{weights_digest(folder)[:8]}"
