"""The packages of trackers, which are extras: whether those that a recipe names can be used here."""

from __future__ import annotations

import importlib.util
import netrc
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nsad_cli.errors import NsadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WANDB_SERVER = "https://api.wandb.ai"
WANDB_LOCAL_MODES = ("offline", "dryrun", "disabled")
"""Values of WANDB_MODE with which nothing is sent."""
WANDB_CREDENTIALS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")


def missing_trackers(names: Iterable[str]) -> list[str]:
    """Return the trackers whose package is not installed; none is imported."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def install_command(names: Sequence[str]) -> str:
    """Return the command that installs the packages of trackers."""
    return f'pip install "nsad[{",".join(names)}]"'


def require_trackers(names: Sequence[str]) -> None:
    """Check that trackers can be used, before anything is spent.

    Args:
        names: The recipe's report_to.

    Raises:
        NsadError: A package is not installed, or wandb would have to ask for a key.
    """
    missing = missing_trackers(names)
    if missing:
        raise NsadError(
            f"not installed: {', '.join(missing)}",
            f"report_to names {'it' if len(missing) == 1 else 'them'}",
            f"{install_command(missing)}, or --set report_to=[]",
        )
    if "wandb" in names and not _has_wandb_key():
        raise NsadError(
            "wandb has no API key",
            "report_to names it, and neither WANDB_API_KEY nor the file that `wandb login` writes has one",
            "run `wandb login`, or set WANDB_MODE=offline to keep the metrics in the run's folder",
        )


def _has_wandb_key() -> bool:
    """Return whether wandb can log in without asking, or does not have to."""
    if os.environ.get("WANDB_MODE") in WANDB_LOCAL_MODES or any(os.environ.get(name) for name in WANDB_CREDENTIALS):
        return True
    server = urlsplit(os.environ.get("WANDB_BASE_URL") or WANDB_SERVER).hostname
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(str(server)) is not None
    except (OSError, netrc.NetrcParseError):
        return False
