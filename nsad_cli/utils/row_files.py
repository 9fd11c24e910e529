"""Reading and atomic writing of rows: JSON lines, Parquet, and folders of the `datasets` library."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError, UsageError, first_line
from nsad_cli.utils.files import new_file, new_folder, read_jsonl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

Row = dict[str, Any]
FILES = (".jsonl", ".parquet")
SAVED = ("dataset_dict.json", "state.json")
"""Files that identify a folder of `datasets`: with several splits, or with one."""


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write rows to FILE.jsonl, FILE.parquet, or a `datasets` folder if the path has no extension.

    Raises:
        UsageError: The file extension is not supported.
        NsadError: `path` already exists, or writing fails.
    """
    if path.suffix == ".jsonl":
        with new_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return
    if path.suffix not in ("", ".parquet"):
        raise UsageError(
            f"unknown format of {path.name}",
            f"the extension `{path.suffix}` is not supported",
            "use .jsonl or .parquet, or no extension for a folder of the datasets library",
        )
    import datasets

    datasets.disable_progress_bars()
    table = datasets.Dataset.from_list(list(rows))
    if path.suffix == ".parquet":
        with new_file(path) as temporary:
            table.to_parquet(str(temporary))
    else:
        with new_folder(path) as temporary:
            table.save_to_disk(str(temporary))


def read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield (location, row) of a JSON-lines or Parquet file, a `datasets` folder, or a folder of such files.

    Corrupt lines of JSON are skipped, with a note.

    Raises:
        NsadError: The data cannot be read.
    """
    if path.is_dir() and any((path / name).is_file() for name in SAVED):
        yield from _read(path, "a folder of the datasets library", _saved)
    elif path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in FILES)
        if not files:
            raise NsadError(
                f"{path} contains no data",
                f"it is not a folder of the datasets library, and has no {' or '.join(FILES)} file",
                "give a file, or a folder written by Dataset.save_to_disk",
            )
        for file in files:
            yield from read_rows(file)
    elif path.suffix == ".parquet":
        yield from _read(path, "a Parquet file", _parquet)
    else:
        for number, row in read_jsonl(path):
            yield f"{path}:{number}", row


def _read(path: Path, kind: str, rows: Callable[[Path], Iterator[Row]]) -> Iterator[tuple[str, Row]]:
    number = 0
    found = rows(path)
    while True:
        try:
            row = next(found, None)
        except Exception as error:  # Arrow, its file systems and datasets raise many types of errors
            raise NsadError(
                f"cannot read {path}", f"it is not {kind}, or corrupt: {first_line(error)}", "write the data again"
            ) from error
        if row is None:
            return
        number += 1
        yield f"{path}: row {number}", row


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1024):
            yield from batch.to_pylist()


def _saved(path: Path) -> Iterator[Row]:
    """Yield the rows of every split in turn."""
    import datasets

    found = datasets.load_from_disk(str(path))
    for part in found.values() if isinstance(found, datasets.DatasetDict) else [found]:
        for batch in part.with_format("arrow").iter(1024):
            yield from batch.to_pylist()
