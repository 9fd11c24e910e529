"""Parquet files: what is written is read, and a small file that expands to gigabytes is refused in little memory."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nsad_cli.errors import NsadError
from nsad_cli.utils import row_files
from nsad_cli.utils.row_files import read_rows

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [
    {
        "prompt": "1+1?",
        "completion": "2",
        "label": True,
        "n": 1,
        "answers": ["a", "b", None],
        "more": {"x": "y", "z": 1.5},
    },
    {"prompt": "1+1?", "completion": None, "label": None, "n": None, "answers": [], "more": None},
    {"prompt": "π", "completion": "", "label": False, "n": -1, "answers": None, "more": {"x": None, "z": None}},
]


def write(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path, compression="zstd")
    return path


def values(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path)]


def test_values_of_every_kind_are_read(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS * 700), tmp_path / "rows.parquet", row_group_size=900)
    assert values(tmp_path / "rows.parquet") == ROWS * 700


def test_texts_that_differ_exceed_the_dictionary_of_a_column(tmp_path: Path) -> None:
    rows = [{"answers": [f"{number} " * 100 for number in range(i, i + 3)]} for i in range(4000)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    assert values(tmp_path / "rows.parquet") == rows


def test_one_text_repeated_many_times(tmp_path: Path) -> None:
    """One megabyte in the dictionary, two terabytes of rows."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), pa.array(["x" * 1_000_000]))
    path = write(tmp_path / "bomb.parquet", prompt=text, completion=text)
    assert path.stat().st_size < 50_000
    tracemalloc.start()
    with pytest.raises(NsadError, match="more than 1 GiB") as error:
        for _ in read_rows(path):
            pass
    assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    tracemalloc.stop()
    assert "JSON lines" in error.value.fix


def test_a_list_of_repeated_texts(tmp_path: Path) -> None:
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), pa.array(["x" * 100_000]))
    lists = pa.ListArray.from_arrays(pa.array([0, 1_000_000], pa.int32()), text)
    with pytest.raises(NsadError, match="row 1 has"):
        values(write(tmp_path / "bomb.parquet", prompt=["1+1?"], generated_answer=lists))


def test_one_large_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "bomb.parquet", prompt=["1+1?", "x" * 20 * 2**20])
    with pytest.raises(NsadError, match="row 2 has 20 MiB of values; a row may have 16 MiB"):
        values(path)
    monkeypatch.setattr(row_files, "MAX_CHUNK_BYTES", 2**20)
    with pytest.raises(NsadError, match="a column of it has"):
        values(path)


def test_many_values_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "bomb.parquet", prompt=pa.nulls(1_000_000, pa.string()))
    monkeypatch.setattr(row_files, "MAX_VALUES", 900_000)
    with pytest.raises(NsadError, match="1,000,000 values"):
        values(path)
