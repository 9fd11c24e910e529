"""The names that settings and flags take, in a module that imports neither pydantic nor torch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, get_args

from nsad_cli.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Rule = Literal["sc", "wsc", "asc", "asc-add", "asc-add2", "best"]
Weights = Literal["fitted", "calibrated", "raw"]
RankerObjective = Literal["power", "bradley-terry", "bce"]
Tracker = Literal["tensorboard", "trackio", "wandb"]
DEVICE_PROFILES = ("a100", "h100", "h200", "l40s", "rtx4090")
"""The GPUs that `--plan` can estimate times for."""
LAUNCHERS = ("local", "slurm")
"""What runs the cells of a study."""
DTYPES: tuple[str, ...] = get_args(Dtype)
RANKER_OBJECTIVES: tuple[str, ...] = get_args(RankerObjective)
DEVICES = ("auto", "cpu", "mps", "cuda", "cuda:N")


def is_device(name: str) -> bool:
    """Return whether a text has the form of a device; the device need not exist."""
    return re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", name) is not None


def require_choice(value: str, known: Sequence[str], option: str) -> None:
    """Raise UsageError with the known values and the most similar one if `value` is none of them."""
    if value not in known:
        hint = did_you_mean(value, known)
        fix = f"{hint + ' ' if hint else ''}choices: {', '.join(known)}"
        raise UsageError(f"invalid value `{value}` of {option}", "it is not one of the choices", fix)


def require_device(value: str, option: str) -> None:
    """Raise UsageError if `value` does not have the form of a device."""
    if not is_device(value):
        require_choice(value, DEVICES, option)
        raise UsageError(f"invalid value `{value}` of {option}", "N is the number of a GPU", "write e.g. cuda:0")
