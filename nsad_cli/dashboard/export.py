"""A view written to disk: its picture as SVG, and its data as CSV."""

from __future__ import annotations

import csv
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.utils.files import new_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

ROWS_PER_CHECK = 2000
"""Rows between two looks at whether it is still wanted."""


@dataclass(frozen=True, slots=True)
class Data:
    """What a view shows, as a table."""

    columns: Sequence[str]
    rows: Iterable[Sequence[object]]
    detached: bool = False
    """Whether the rows read nothing of the view any more, so that a thread may go through them while it changes."""

    def detach(self) -> Data:
        """With rows that a thread may go through."""
        return self if self.detached else Data(self.columns, list(self.rows), detached=True)


class ExportCancelledError(Exception):
    """The export was cancelled; nothing of it is left."""


def unused_name(folder: Path, name: str, now: float) -> str:
    """NAME-DATE-TIME, with a number behind it where a file has that name."""
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}"
    number, free = 1, stem
    while any((folder / f"{free}.{kind}").exists() for kind in ("svg", "csv")):
        number += 1
        free = f"{stem}-{number}"
    return free


def export(
    folder: Path, name: str, svg: str, data: Data | None, cancelled: Callable[[], bool] = lambda: False
) -> list[Path]:
    """Write NAME.svg and NAME.csv into a folder; each is whole or absent, the table in parts, so that it may be long.

    Raises NotWanted where it is cancelled meanwhile, NsadError where the folder cannot be written or has such a file.
    """
    paths = [folder / f"{name}.svg"]
    if data is not None:
        paths.append(folder / f"{name}.csv")
        # A file name that is no UTF-8 is written with its bytes named.
        with (
            new_file(paths[1]) as temporary,
            temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(data.columns)
            writer.writerows(_unless_cancelled(data.rows, cancelled))
    with new_file(paths[0]) as temporary:
        temporary.write_text(svg, encoding="utf-8", errors="backslashreplace")
    return paths


def _unless_cancelled(rows: Iterable[Sequence[object]], cancelled: Callable[[], bool]) -> Iterator[Sequence[object]]:
    for number, row in enumerate(rows):
        if not number % ROWS_PER_CHECK and cancelled():
            raise ExportCancelledError
        yield row
