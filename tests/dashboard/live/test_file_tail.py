"""A growing file is read once, whatever the pieces in which it comes; what happens to it is noticed."""

from __future__ import annotations

import itertools
from io import FileIO
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsad_cli.dashboard.live import file_tail as module
from nsad_cli.dashboard.live.file_tail import FileTail

if TYPE_CHECKING:
    from pathlib import Path


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.lists(st.binary(max_size=90), max_size=12).map(b"\n".join),
    cuts=st.lists(st.integers(0, 1000), max_size=12),
    limit=st.integers(1, 50),
)
def test_any_chopped_writing_equals_reading_it_whole(
    tmp_path: Path, content: bytes, cuts: list[int], limit: int
) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"")
    tail, got = FileTail(path), []
    bounds = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    for start, end in itertools.pairwise(bounds):
        with path.open("ab") as file:
            file.write(content[start:end])
        got += tail.read(limit)
    while tail.pending:
        got += tail.read(limit)
    assert got == content.split(b"\n")[:-1]
    assert not tail.restarts
    assert not tail.note


def test_a_half_written_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntw")
    tail = FileTail(path)
    assert tail.read() == [b"one"]
    assert tail.read() == []
    path.write_bytes(b"one\ntwo\n")
    assert tail.read() == [b"two"]


def test_only_new_bytes_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    class Counted(FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size) or b""
            taken.append(len(data))
            return data

    monkeypatch.setattr(module, "FileIO", Counted)
    path = tmp_path / "log"
    path.write_bytes(b"x" * 99_999 + b"\n")
    tail = FileTail(path)
    tail.read()
    taken.clear()
    with path.open("ab") as file:
        file.write(b"new\n")
    assert tail.read() == [b"new"]
    assert sum(taken) == module.COMPARED_BYTES + 4


@pytest.mark.parametrize("how", ["cut", "replaced", "longer", "recreated"])
def test_a_file_that_begins_anew_is_read_from_its_beginning(tmp_path: Path, how: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old 1\nold 2\nhal")
    tail = FileTail(path)
    tail.read()
    if how == "cut":
        path.write_bytes(b"new\n")
    elif how == "longer":  # the same file, longer than what was read of it
        path.write_bytes(b"new\n" * 100)
    elif how == "replaced":
        (tmp_path / "other").write_bytes(b"old 1\nold 2\nold 3\n")
        (tmp_path / "other").rename(path)
    else:
        path.unlink()
        assert tail.read() == []
        assert tail.note == "was deleted; the data read before is shown"
        path.write_bytes(b"new\n")
    lines = tail.read()
    assert lines == path.read_bytes().split(b"\n")[:-1]
    assert tail.restarts == 1
    assert not tail.note
    assert tail.read() == []
    assert tail.restarts == 1


def test_a_file_that_cannot_be_read_is_told_and_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tail = FileTail(path)
    assert tail.read() == []
    assert tail.note == "does not exist yet"
    path.mkdir()
    assert tail.read() == []
    assert "cannot be read: Is a directory" in tail.note
    path.rmdir()
    path.write_bytes(b"one\n")
    assert tail.read() == [b"one"]
    assert not tail.note
    assert not tail.restarts


def test_an_empty_file_that_goes_is_gone_and_its_return_begins_nothing_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tail = FileTail(path)
    told = []
    for content in (b"", None, b"one\n", b"", None):
        path.unlink() if content is None else path.write_bytes(content)
        lines = tail.read()
        told.append((lines, tail.note, tail.restarts))
    gone = "was deleted"  # there is no data to show
    assert told == [([], "", 0), ([], gone, 0), ([b"one"], "", 0), ([], "", 1), ([], gone, 1)]


def test_a_line_without_end_fills_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 1000)
    path = tmp_path / "log"
    path.write_bytes(b"first\n" + b"\0" * 10_000 + b"\nlast\n")
    tail, got = FileTail(path), []
    while True:
        got += tail.read(300)
        assert len(tail._partial_line) <= 1300
        if not tail.pending:
            break
    assert got == [b"first", b"last"]
    assert tail.skipped_lines == 1
