"""The package trl, an extra: whether the baselines that it trains can be trained here."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from nsad_cli.config.stages import stages
from nsad_cli.errors import NsadError
from nsad_cli.utils.distributed import world_size

if TYPE_CHECKING:
    from collections.abc import Iterable

INSTALL = 'pip install "nsad[trl]"'


def require_trl(names: Iterable[str]) -> None:
    """Check that stages can be trained as far as they need TRL; it is not imported.

    Args:
        names: Names of stages; those that TRL does not train are ignored.

    Raises:
        NsadError: TRL is not installed, or several processes were launched.
    """
    table = stages()
    needing = [name for name in names if name in table and table[name].trainer == "trl"]
    if not needing:
        return
    listed = ", ".join(needing)
    if importlib.util.find_spec("trl") is None:
        raise NsadError(f"{listed}: TRL is not installed", "the package trl trains this baseline", INSTALL)
    if world_size() > 1:
        raise NsadError(
            f"{listed}: not in several processes",
            "the baselines of TRL train in one process; a launcher started more",
            "leave out the launcher",
        )
