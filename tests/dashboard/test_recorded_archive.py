"""The recorded run of `nsad dashboard --demo`: unpacked, looked at, thrown away."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from nsad_cli.dashboard.demo_runs import recorded_runs
from nsad_cli.errors import NsadError
from tests.helpers.run_folders import make_run, trained
from tests.helpers.screens import dashboard, drive, screen_text

if TYPE_CHECKING:
    from pathlib import Path


def packed(path: Path, folder: Path) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for item in sorted(folder.iterdir()):
            file.add(item, item.name)
    return path


def test_it_is_shown_and_gone_afterwards(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "recorded", trained())
    archive = packed(tmp_path / "recorded.tar.gz", tmp_path / "runs")
    with recorded_runs(archive) as home:
        app = dashboard(home, "recorded")

        async def script(_: object) -> None:
            assert "✓ finished" in screen_text(app)
            assert "recorded" in screen_text(app)

        drive(app, script)
        assert tmp_path not in home.parents
    assert not home.exists()


def test_what_cannot_be_shown_is_told_in_three_lines(tmp_path: Path) -> None:
    (tmp_path / "damaged.tar.gz").write_bytes(b"\x1f\x8b no archive")
    (tmp_path / "nothing").mkdir()
    packed(tmp_path / "nothing.tar.gz", tmp_path / "nothing")
    make_run(tmp_path / "runs", "recorded", trained())
    whole = packed(tmp_path / "whole.tar.gz", tmp_path / "runs").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with tarfile.open(tmp_path / "outside.tar.gz", "w:gz") as file:
        member = tarfile.TarInfo("../outside")
        member.size = 1
        file.addfile(member, io.BytesIO(b"x"))
    for name, why in (
        ("missing", "does not exist"),
        ("damaged", "damaged.tar.gz: "),
        ("nothing", "contains no run"),
        ("cut", "cut.tar.gz: "),
        ("outside", "outside.tar.gz: "),
    ):
        with pytest.raises(NsadError) as told, recorded_runs(tmp_path / f"{name}.tar.gz"):
            pass
        assert told.value.what == "the recorded run cannot be shown", name
        assert why in told.value.why, name
        assert "nsad demo" in told.value.fix
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path.parent / "outside").exists()
