"""Slurm by submitit, an extra: whether it can be used here, and its executor with the parameters of the jobs."""

from __future__ import annotations

import importlib.util
import re
import shutil
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError, UsageError, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nsad_cli.config.schema import Recipe

MAX_TIMEOUTS = 100
"""How often a job is requeued at its time limit; submitit's default is 3."""
OWN = ("dependency", "job_name", "array_parallelism", "map_count")
"""Parameters that the study sets itself, or that concern job arrays."""
_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


def parse_parameters(items: Sequence[str]) -> dict[str, Any]:
    """Parse the KEY=VALUE pairs of --slurm.

    Returns:
        Values by key, with `time` in minutes and other whole numbers as int.

    Raises:
        UsageError: An item has no `=` or no key, a key is the study's own, or `time` is missing or malformed.
    """
    found: dict[str, Any] = {}
    for item in items:
        key, mark, value = item.partition("=")
        key = key.strip().removeprefix("slurm_").replace("-", "_")
        if not mark or not key:
            raise UsageError(
                f"invalid value `{item}` of --slurm", "it is not KEY=VALUE", "write e.g. --slurm partition=gpu"
            )
        if key in OWN:
            raise UsageError(f"--slurm {key} cannot be set", "the study sets it for each job", "leave it out")
        found[key] = int(value) if value.isdecimal() else value
    if "time" not in found:
        raise UsageError(
            "the jobs have no time limit",
            "Slurm ends a job at its limit, and submitit's default is 5 minutes",
            "give e.g. --slurm time=4:00:00; a job that reaches its limit is requeued and resumes",
        )
    found["time"] = minutes(str(found["time"]))
    return found


def minutes(text: str) -> int:
    """Return the minutes of a time limit in one of Slurm's forms: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S; rounded up.

    Raises:
        UsageError: It has another form, or is zero.
    """
    matched = _TIME.fullmatch(text)
    days, *given = matched.groups() if matched else (None,)
    parts = [int(part) for part in given if part is not None]
    if days is not None:
        parts = [*parts, 0, 0][:3]
    elif len(parts) < 3:
        parts = [0, *parts, 0][:3]
    seconds = int(days or 0) * 86400 + sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if not matched or not seconds:
        raise UsageError(
            f"invalid time limit `{text}`", "it is neither minutes nor [DAYS-]HOURS:MINUTES:SECONDS", "time=4:00:00"
        )
    return -(-seconds // 60)


def require_slurm(recipe: Recipe) -> None:
    """Check that jobs can be submitted from here, before anything is spent.

    Raises:
        NsadError: submitit is not installed, or this machine has no Slurm.
        UsageError: The recipe leaves the dtype to the machine.
    """
    if importlib.util.find_spec("submitit") is None:
        raise NsadError("submitit is not installed", "--launcher slurm submits jobs by it", 'pip install "nsad[slurm]"')
    missing = [name for name in ("sbatch", "srun") if shutil.which(name) is None]
    if missing:
        raise NsadError(
            f"{' and '.join(missing)} not found",
            "--launcher slurm submits jobs from a machine with Slurm's commands",
            "run it on a login node of the cluster, or leave out --launcher to run here",
        )
    if recipe.student.dtype == "auto":
        raise UsageError(
            "the dtype of the jobs is not given",
            "student.dtype is `auto`, which is resolved here, on a machine that may not be like the jobs'",
            "give --dtype bfloat16 or --dtype float32",
        )


def slurm_executor(folder: Path, parameters: Mapping[str, Any]) -> Any:
    """Return submitit's executor of Slurm.

    Args:
        folder: The folder of the jobs' pickles and output, which all nodes must see.
        parameters: Those of `parse_parameters`; what submitit does not know is passed to sbatch as it is.

    Raises:
        UsageError: submitit does not accept a value.
    """
    from submitit import SlurmExecutor

    executor = SlurmExecutor(folder, max_num_timeout=MAX_TIMEOUTS)
    known = executor._valid_parameters()
    more = {key: value for key, value in parameters.items() if key not in known}
    own = {key: value for key, value in parameters.items() if key in known}
    try:
        executor.update_parameters(**own, additional_parameters={"requeue": True, **more})
    except (ValueError, TypeError) as error:
        raise UsageError("invalid --slurm parameters", first_line(error), "correct them; see `man sbatch`") from error
    return executor
