"""What a ranker's folder says before its weights are loaded: its kind, its name, whether the run still has it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nsad_cli.config.stages import RANKER, STUDENT
from nsad_cli.errors import NsadError, first_line
from nsad_cli.utils.files import weights_digest

if TYPE_CHECKING:
    from pathlib import Path

ADAPTER = RANKER.name
"""The stage's name, its folder's, and the name of the head ranker's LoRA."""
HEAD_FILE = "head.safetensors"
ABOUT = "ranker"
HEAD, PROBE = "head", "probe"
READS = STUDENT.name
"""The model whose states a probe reads: the one that answers."""


def described(folder: Path) -> dict[str, str]:
    """The `kind` of the ranker in a folder and what it `reads`.

    Raises NsadError where the folder holds no ranker.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / HEAD_FILE
    try:
        with safe_open(path, "np") as file:  # torch would have to be imported for "pt"
            about = json.loads((file.metadata() or {}).get(ABOUT, "{}"))
            return {"kind": HEAD, "reads": "", **about}
    except (OSError, ValueError, SafetensorError) as error:
        why = f"{HEAD_FILE} is missing" if not path.is_file() else first_line(error)
        raise NsadError(f"{folder} holds no ranker", why, "train one with `nsad train-ranker`") from error


def ranker_name(folder: Path) -> str:
    """A ranker's kind and a hash of its weights, so that scores tell rankers apart.

    Raises NsadError where the folder holds no ranker.
    """
    return f"{described(folder)['kind']}-{weights_digest(folder)[:8]}"
