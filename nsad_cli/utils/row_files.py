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

MAX_ROW_BYTES = 16 * 2**20
"""The maximum size of the values of a row of a Parquet file."""
MAX_BYTES, MAX_EXPANSION = 2**30, 100
"""The maximum size of the values of a Parquet file: 1 GiB, or so many times its size on disk if that is more."""
MAX_CHUNK_BYTES = 256 * 2**20
"""A column of a row group may be larger only if it was compressed by less than MAX_EXPANSION."""
MAX_VALUES = 16_000_000
"""The maximum values of a column of a row group; more are allowed with a byte of the file for each."""
ROW_BYTES = 8
"""The size that is counted for a row, a list's element, or a number."""


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
        NsadError: The data cannot be read, or a Parquet file has a row of more than MAX_ROW_BYTES, or expands to far
            more than its size on disk.
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
        except NsadError:
            raise
        except Exception as error:  # Arrow, its file systems and datasets raise many types of errors
            raise NsadError(
                f"cannot read {path}", f"it is not {kind}, or corrupt: {first_line(error)}", "write the data again"
            ) from error
        if row is None:
            return
        number += 1
        yield f"{path}: row {number}", row


def _parquet(path: Path) -> Iterator[Row]:
    """Yield the rows of a Parquet file; their memory is checked before they are decoded from dictionaries."""
    import pyarrow.parquet

    names = [column.path for column in pyarrow.parquet.ParquetFile(path).schema if column.physical_type == "BYTE_ARRAY"]
    allowed = max(MAX_BYTES, MAX_EXPANSION * path.stat().st_size)
    number = 0
    with pyarrow.parquet.ParquetFile(path, read_dictionary=names, buffer_size=2**20) as file:
        _check_chunks(path, file.metadata)
        groups = range(file.num_row_groups)  # one at a time: Arrow cannot join nested dictionaries
        for batch in (batch for group in groups for batch in file.iter_batches(1024, row_groups=[group])):
            for row, size in enumerate(sum(map(_value_bytes, batch.columns), start=_no_bytes(batch.num_rows))):
                number += 1
                allowed -= size
                if size > MAX_ROW_BYTES:
                    raise _too_large(path, f"row {number} has {size / 2**20:.0f} MiB of values")
                if allowed < 0:
                    raise _too_large(path, f"its values have more than {MAX_BYTES / 2**30:g} GiB")
                yield {
                    name: column[row].as_py() for name, column in zip(batch.schema.names, batch.columns, strict=True)
                }


def _check_chunks(path: Path, metadata: Any) -> None:
    """Check the parts of a file that are decompressed at once, by the sizes that its metadata states."""
    file_bytes = path.stat().st_size
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            size, compressed = chunk.total_uncompressed_size, max(chunk.total_compressed_size, 1)
            if size > MAX_CHUNK_BYTES and size > MAX_EXPANSION * compressed:
                raise _too_large(path, f"a column of it has {size / 2**20:.0f} MiB")
            if chunk.num_values > max(MAX_VALUES, file_bytes):
                raise _too_large(path, f"a column of it has {chunk.num_values:,} values")


def _no_bytes(rows: int) -> Any:
    import numpy as np

    return np.full(rows, ROW_BYTES, dtype=np.int64)


def _value_bytes(array: Any) -> Any:
    """Compute the size in bytes of each value of an Arrow array, with repeated values counted each time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if pa.types.is_dictionary(kind):
        lengths = _value_bytes(array.dictionary) if len(array.dictionary) else np.zeros(1, dtype=np.int64)
        return lengths[np.asarray(array.indices.fill_null(0))]
    if any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)):
        return np.asarray(pc.binary_length(array).fill_null(0)).astype(np.int64)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        ends = np.concatenate([[0], np.cumsum(_value_bytes(array.values) + ROW_BYTES)])
        return np.diff(ends[np.asarray(array.offsets)])
    if pa.types.is_struct(kind):
        return sum((_value_bytes(child) for child in array.flatten()), start=_no_bytes(len(array)))
    return _no_bytes(len(array))


def _too_large(path: Path, why: str) -> NsadError:
    return NsadError(
        f"{path} is too large to read",
        f"{why}; a row may have {MAX_ROW_BYTES / 2**20:.0f} MiB, and a file {MAX_BYTES / 2**30:g} GiB or "
        f"{MAX_EXPANSION} times its size on disk",
        "split the row, or write the data as JSON lines",
    )


def _saved(path: Path) -> Iterator[Row]:
    """Yield the rows of every split in turn."""
    import datasets

    found = datasets.load_from_disk(str(path))
    for part in found.values() if isinstance(found, datasets.DatasetDict) else [found]:
        for batch in part.with_format("arrow").iter(1024):
            yield from batch.to_pylist()
