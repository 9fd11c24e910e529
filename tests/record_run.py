"""Record runs for `nsad dashboard --demo`: python -m tests.record_run nsad_cli/dashboard/recorded.tar.xz RUN_FOLDER…

Into the archive goes what the dashboard reads: settings, states, events, stores; not the adapters and checkpoints, nor
who collected what from where. The same runs give the same bytes. A file that names a folder of this machine, or the
machine, is refused.
"""

from __future__ import annotations

import contextlib
import io
import json
import lzma
import re
import socket
import sqlite3
import sys
import tarfile
import tempfile
from pathlib import Path

TEXTS = ("recipe.yaml", "events.jsonl")
STORES = ("store.sqlite", "chains.sqlite")
PRIVATE = ("claims", "batches")
"""Tables that name processes, hosts and servers."""
PLACES = rb"(?<![\w./)\]}-])/[A-Za-z]\w+/[\w.][^\s\"']*"


def main(out: Path, folders: list[Path]) -> None:
    """Write the archive.

    Raises ValueError where a file names a place.
    """
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder in folders:
            files = recorded(folder)
            stages = json.loads(files["manifest.json"])["stages"].values()
            ended = max((stage.get("ended", 0.0) for stage in stages), default=0.0)
            for name, content in sorted(files.items()):
                check(f"{folder.name}/{name}", content)
                entry = tarfile.TarInfo(f"{folder.name}/{name}")
                entry.size, entry.mode, entry.mtime = len(content), 0o644, int(ended)
                archive.addfile(entry, io.BytesIO(content))
    out.write_bytes(lzma.compress(raw.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def recorded(folder: Path) -> dict[str, bytes]:
    """A run's files that the dashboard reads, by name."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    shared, manifest["store"] = manifest.get("store"), None
    manifest["name"] = folder.name
    files = {"manifest.json": json.dumps(manifest, indent=1).encode()}
    files |= {name: (folder / name).read_bytes() for name in TEXTS}
    for name in STORES:
        files[name] = compact(Path(shared) if shared and name == "store.sqlite" else folder / name)
    return files


def compact(path: Path) -> bytes:
    """A store in one file, without what is private and without free pages; the original is only read."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.sqlite"
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            db.execute("VACUUM INTO ?", (str(copy),))
        with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as db:
            tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            for table in tables.intersection(PRIVATE):
                db.execute(f"DELETE FROM {table}")
            db.execute("VACUUM")
        return copy.read_bytes()


def check(name: str, content: bytes) -> None:
    """Raise ValueError where a file's content names a folder, or the host."""
    for pattern in (PLACES, rb"\b" + re.escape(socket.gethostname().encode()) + rb"\b"):
        found = re.search(pattern, content)
        if found:
            raise ValueError(f"{name} names {found[0].decode(errors='replace')}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
