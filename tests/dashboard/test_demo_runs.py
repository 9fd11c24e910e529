"""The recorded runs are whole, run after run the same bytes, and tell nothing of where they were made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nsad_cli.dashboard.demo_runs import ARCHIVE, recorded_runs
from nsad_cli.errors import NsadError
from nsad_cli.runs.run import Run
from nsad_cli.store.chains import ChainStore
from nsad_cli.store.rationales import Store
from tests import record_run
from tests.helpers.rationale_stores import PARAMS, fill, make_run

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_shipped_is_whole_and_names_no_place() -> None:
    with recorded_runs() as home:
        assert sorted(path.name for path in home.iterdir()) == ["demo", "probe"]
        for folder in home.iterdir():
            run = Run(folder)
            assert run.recipe.name == run.name
            assert run.finished()
            assert run.store_path.parent == folder
            assert all(state["state"] == "finished" for state in run.stages().values())
            stages = {event.stage for event in run.events.read() if "loss" in event.metrics}
            assert stages == {"negative", "nat", "nce", "ranker"}
            with Store(run.store_path, read_only=True) as store, ChainStore(run.chains_path, read_only=True) as chains:
                assert store.counts()["draws"] == store.counts()["verdicts"] == 960
                assert {model for model, *_ in chains.sets()} == {"base", "nat", "nce"}
                assert {name.partition("-")[0] for name in chains.rankers()} == {
                    "head",
                    run.recipe.training.ranker.kind,
                }
            for path in folder.iterdir():
                record_run.check(path.name, path.read_bytes())
        here = home
    assert not here.exists()
    assert ARCHIVE.stat().st_size < 300_000


def test_a_recording_says_the_same_each_time_and_nothing_private(tmp_path: Path) -> None:
    path = make_run(tmp_path, "one")
    fill(path)
    with Store(path) as store:
        store.claims.acquire("gpt", PARAMS, [("p3", (0,))], "4711@some-host", lambda *_: True)
    (path.parent / "recipe.yaml").write_text("name: one\n")
    (path.parent / "events.jsonl").write_text("")
    with ChainStore(path.parent / "chains.sqlite"):
        pass
    archives = [tmp_path / "a.tar.xz", tmp_path / "b.tar.xz"]
    for archive in archives:
        record_run.main(archive, [path.parent])
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with recorded_runs(archives[0]) as home:
        files = {file.name: file.read_bytes() for file in (home / "one").iterdir()}
        assert sorted(files) == ["chains.sqlite", "events.jsonl", "manifest.json", "recipe.yaml", "store.sqlite"]
        assert b"some-host" not in files["store.sqlite"]
        with Store(home / "one" / "store.sqlite", read_only=True) as store:
            assert store.counts() == {"problems": 4, "draws": 12, "verdicts": 11}
    assert b"some-host" in path.read_bytes() or path.with_name("store.sqlite-wal").exists(), "the original stays"


def test_a_run_that_names_a_place_is_refused(tmp_path: Path) -> None:
    path = make_run(tmp_path, "one")
    manifest = json.loads((path.parent / "manifest.json").read_text())
    manifest["stages"]["eval"] = {"state": "failed", "error": "cannot write /home/somebody/runs/one"}
    with pytest.raises(ValueError, match="names /home/somebody/runs/one"):
        record_run.check("manifest.json", json.dumps(manifest).encode())
    record_run.check("chains", b"3/4 of /7 and then/or 1/2")


@pytest.mark.parametrize("damage", ["half", "none", "empty", "text"])
def test_a_damaged_archive_is_told(tmp_path: Path, damage: str) -> None:
    archive = tmp_path / "recorded.tar.xz"
    whole = ARCHIVE.read_bytes()
    content = {"half": whole[: len(whole) // 2], "empty": b"", "text": b"not an archive"}.get(damage)
    if content is not None:
        archive.write_bytes(content)
    with pytest.raises(NsadError, match="cannot be shown"), recorded_runs(archive):
        pass
