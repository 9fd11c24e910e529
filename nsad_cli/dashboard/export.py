"""A view written to disk: its picture as SVG, and its data as CSV."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nsad_cli.files import write_atomic


@dataclass(frozen=True, slots=True)
class Data:
    """What a view shows, as a table."""

    columns: Sequence[str]
    rows: Iterable[Sequence[object]]


def export(folder: Path, name: str, svg: str, data: Data | None, now: float) -> list[Path]:
    """Write NAME-DATE-TIME.svg and .csv into a folder, beside what is there.

    Raises NsadError where the folder cannot be written.
    """
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}"
    number, free = 1, stem
    while any((folder / f"{free}.{kind}").exists() for kind in ("svg", "csv")):
        number += 1
        free = f"{stem}-{number}"
    paths = [folder / f"{free}.svg"]
    write_atomic(paths[0], _bytes(svg))
    if data is not None:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(data.columns)
        writer.writerows(data.rows)
        paths.append(folder / f"{free}.csv")
        write_atomic(paths[1], _bytes(text.getvalue()))
    return paths


def _bytes(text: str) -> bytes:
    """As UTF-8; a file name that is none is written with its bytes named."""
    return text.encode(errors="backslashreplace")
