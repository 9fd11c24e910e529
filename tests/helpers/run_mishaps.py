"""Runs with hostile text in every field, and what may happen to runs while a program shows them."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

from nsad_cli.dashboard.demo_runs import recorded_runs
from tests.helpers import rationale_stores, run_folders, vote_run

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

HOSTILE = "\x1b[2J\x1b]0;owned\x07[bold red]x[/bold red][/][@click=app.quit]q[/]\u202e\u200b\x9b31m\\[$x]\r\n\t{0}%s"
KEPT = {"id", "problem_id", "state", "finish", "verdict", "time", "format", "stages"}
"""Columns and keys that programs match exactly: hostile text there is damage, not text."""


def make_runs(home: Path) -> None:
    """The recorded runs, runs of every kind, and copies with hostile text in every field and in their names."""
    with recorded_runs() as recorded:
        shutil.copytree(recorded, home, dirs_exist_ok=True)
    run_folders.make_runs(home)
    vote_run.make_run(home)
    rationale_stores.fill(rationale_stores.make_run(home))
    for source, name in (("demo", "hostile"), ("mine", "[bold]name[b]\x1b[31m"), ("taken", "hostile-votes")):
        make_hostile(shutil.copytree(home / source, home / name))


def make_hostile(run: Path) -> None:
    """Put hostile text into every field of a run's files that may hold any text."""
    for file in run.glob("*.sqlite"):
        with contextlib.closing(sqlite3.connect(file)) as db, db:
            db.execute("PRAGMA foreign_keys = OFF")
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[2] == "TEXT"]
                for column in set(columns) - KEPT:
                    with contextlib.suppress(sqlite3.IntegrityError):  # a part of a key
                        db.execute(f"UPDATE {table} SET {column} = {column} || ?", (HOSTILE,))
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(_hostile(manifest)))
    if (run / "events.jsonl").exists():
        lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
        odd = [{**line, "stage": line["stage"] + HOSTILE} for line in lines[::7]]
        written = [*lines, *odd, *map(_hostile, lines[::5])]
        (run / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in written))
    (run / "recipe.yaml").write_text(json.dumps({"seed": 0, HOSTILE: HOSTILE, "adapter": {HOSTILE: [HOSTILE]}}))


def _hostile(value: Any) -> Any:
    """Add hostile text to every text of a JSON value."""
    if isinstance(value, dict):
        found = {
            key: item if key in KEPT and not isinstance(item, dict) else _hostile(item) for key, item in value.items()
        }
        return {**found, HOSTILE: HOSTILE} if all(isinstance(item, float | int) for item in value.values()) else found
    if isinstance(value, list):
        return [_hostile(item) for item in value]
    return value + HOSTILE if isinstance(value, str) else value


def delete(run: Path, _: random.Random) -> None:
    """Delete the run."""
    shutil.rmtree(run, ignore_errors=True)


def rename(run: Path, chance: random.Random) -> None:
    """Rename the run, or exchange its name with another run's."""
    target, aside = run.parent / chance.choice(["demo", "renamed", run.name + "-2"]), run.parent / "aside"
    shutil.rmtree(aside, ignore_errors=True)
    if target.exists():
        target.rename(aside)
    with contextlib.suppress(OSError):
        run.rename(target)
    if aside.exists() and not run.exists():
        aside.rename(run)


def empty(run: Path, chance: random.Random) -> None:
    """Truncate a file to nothing."""
    _change(run, chance, lambda _: b"")


def truncate(run: Path, chance: random.Random) -> None:
    """Truncate a file anywhere."""
    _change(run, chance, lambda raw: raw[: chance.randrange(len(raw) + 1)])


def append(run: Path, chance: random.Random) -> None:
    """Append random bytes to a file."""
    _change(run, chance, lambda raw: raw + chance.randbytes(chance.choice([1, 100, 5000])))


def flip_bits(run: Path, chance: random.Random) -> None:
    """Flip bits of a file."""

    def flipped(raw: bytes) -> bytes:
        found = bytearray(raw)
        for _ in range(chance.choice([1, 8, 200]) if found else 0):
            found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)
        return bytes(found)

    _change(run, chance, flipped)


def replace_with_folder(run: Path, chance: random.Random) -> None:
    """Put a folder in a file's place."""
    if (path := _file(run, chance)) is not None:
        path.unlink()
        path.mkdir()


def write_malformed_manifest(run: Path, chance: random.Random) -> None:
    """Write a manifest that is JSON, but of another shape."""
    texts = [
        "",
        "[]",
        "{}",
        "null",
        '{"format": 2}',
        '{"format": 2, "stages": []}',
        '{"format": "x"}',
        "\ufeff{}",
        "[" * 9000,
    ]
    odd = {"collect": 7, "nat": {"state": None}, "nce": {"state": "running", "started": "x"}, "eval": {"result": []}}
    texts += [json.dumps({"format": 2, "name": 1, "created": None, "versions": [], "store": 3, "stages": odd})]
    results: tuple[Any, ...] = (None, [], 3, {"results": 4}, {"ledger": [1]})
    texts += [
        json.dumps({"format": 2, "stages": {name: {"state": "finished", "result": value}}})
        for name in ("collect", "grade", "eval")
        for value in results
    ]
    with contextlib.suppress(OSError):
        (run / "manifest.json").write_text(chance.choice(texts))


MISHAPS: tuple[Callable[[Path, random.Random], None], ...] = (
    delete,
    rename,
    empty,
    truncate,
    append,
    flip_bits,
    replace_with_folder,
    write_malformed_manifest,
)


def _file(run: Path, chance: random.Random) -> Path | None:
    files = sorted(path for path in run.glob("*") if path.is_file())
    return chance.choice(files) if files else None


def _change(run: Path, chance: random.Random, change: Callable[[bytes], bytes]) -> None:
    path = _file(run, chance)
    if path is None:
        return
    raw = change(path.read_bytes())
    if chance.random() < 0.5:
        path.unlink()  # another file in its place
    path.write_bytes(raw)
