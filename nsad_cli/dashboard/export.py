"""Export of a view: a screenshot as SVG, and its data as CSV."""

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
"""Rows between two checks for cancellation."""


@dataclass(frozen=True, slots=True)
class ExportTable:
    """The data of a view as a table."""

    columns: Sequence[str]
    rows: Iterable[Sequence[object]]
    detached: bool = False
    """Whether the rows are independent of the view, so that a thread may iterate over them while the view changes."""

    def detach(self) -> ExportTable:
        """Return a table whose rows a thread may iterate over."""
        return self if self.detached else ExportTable(self.columns, list(self.rows), detached=True)


class ExportCancelledError(Exception):
    """The export was cancelled; no partial file remains."""


def unused_name(folder: Path, name: str, now: float) -> str:
    """Return NAME-DATE-TIME, with a number appended if a file of that name exists."""
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}"
    number, free = 1, stem
    while any((folder / f"{free}.{kind}").exists() for kind in ("svg", "csv")):
        number += 1
        free = f"{stem}-{number}"
    return free


def export(
    folder: Path, name: str, svg: str, data: ExportTable | None, cancelled: Callable[[], bool] = lambda: False
) -> list[Path]:
    """Write NAME.svg and NAME.csv into a folder, each atomically; the table is streamed, so it may be long.

    Raises:
        ExportCancelledError: `cancelled` returned true.
        NsadError: The folder cannot be written to, or a file of that name exists.
    """
    paths = [folder / f"{name}.svg"]
    if data is not None:
        paths.append(folder / f"{name}.csv")
        # Bytes of a file name that are not valid UTF-8 are written as escapes.
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
