"""What a ranker's folder says before its weights are loaded: its kind, its name, whether the run still has it."""

from __future__ import annotations

import json
from pathlib import Path

from nsad_cli.config import Recipe
from nsad_cli.errors import NsadError, first_line
from nsad_cli.files import weights_digest
from nsad_cli.models import has_model, model_key
from nsad_cli.runs import Run

ADAPTER = "ranker"
"""The stage's name, its folder's, and the name of the head ranker's LoRA."""
HEAD_FILE = "head.safetensors"
ABOUT = "ranker"
HEAD, PROBE = "head", "probe"
READS = "nce"
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


def outlived(run: Run, recipe: Recipe) -> bool:
    """Whether the run's ranker is a probe of states that the student no longer has.

    Raises NsadError where the folder holds no ranker.
    """
    about = described(run.adapter_path(ADAPTER))
    return about["kind"] == PROBE and about["reads"] != model_key(run, recipe, READS)


def present_ranker(run: Run) -> str | None:
    """The name of the ranker that would score the run's chains now; None where there is none.

    Raises NsadError where the run has finished one and its folder holds none.
    """
    if not has_model(run, ADAPTER) or outlived(run, run.recipe):
        return None
    return ranker_name(run.adapter_path(ADAPTER))
