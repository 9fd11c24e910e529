"""Atomic writes of files and folders, and reading of JSON lines with reports of corrupt lines."""

from __future__ import annotations

import codecs
import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError, UsageError
from nsad_cli.utils.logs import line_note

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPORARY_SUFFIX = ".nsad-tmp"
"""The end of the name of every temporary file and folder; nothing else is ever removed."""


def write_error(path: Path, error: OSError) -> NsadError:
    """Create the error for a failed write; a full disk and a symbolic link have messages of their own."""
    if error.errno == errno.ENOSPC:
        return NsadError(
            f"cannot write {path}", "the disk is full", "free some space and run the same command again: it resumes"
        )
    if error.errno == errno.ELOOP:
        return NsadError(f"cannot write {path}", "it is a symbolic link, which is not followed", "remove the link")
    return NsadError(
        f"cannot write {path}", error.strerror or str(error), "check the folder's permissions, or set NSAD_HOME"
    )


def open_no_link(path: str, flags: int) -> int:
    """Open a file, for `open(opener=…)`, but not through a symbolic link, which could lead out of the run's folder.

    Raises:
        OSError: The path is a symbolic link (ELOOP), or cannot be opened.
    """
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write a file atomically: a reader sees either the old content or the new one, after a power cut too.

    Raises:
        NsadError: The disk is full or the folder is not writable.
    """
    with _replacing(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def sync_file(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    with path.open("rb+" if os.name == "nt" else "rb") as file:  # Windows requires write access
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until a folder's entries, such as a file that was just renamed, are on the disk."""
    if os.name == "nt":  # Windows cannot open a folder; its file systems log renames themselves
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems do not support it
            raise
    finally:
        os.close(handle)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Create a file atomically: the body writes a temporary file, which is renamed to `path` at the end.

    Raises:
        NsadError: `path` already exists, or writing fails.
    """
    path = path.expanduser().resolve()
    if path.exists():
        raise NsadError(f"{path} already exists", "it would be overwritten", "give the path of a new file")
    with _replacing(path) as temporary:
        yield temporary


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file in the folder of `path`; renamed to `path` on success, removed on failure."""
    try:
        make_folder(path.parent)
        with _temporary_beside(path, folder=False) as temporary:
            yield temporary
            sync_file(temporary)
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise write_error(path, error) from error


NEW_FOLDER = "give the path of a new folder on a writable disk with free space"
"""What to do if a folder cannot be created."""


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Create a folder atomically: the body writes a temporary folder, which is renamed to `path` at the end.

    Raises:
        NsadError: `path` already exists and is not an empty folder, or writing fails.
    """
    path = path.expanduser().resolve()
    try:
        require_new(path)
        make_folder(path.parent)
        with _temporary_beside(path, folder=True) as temporary:
            yield temporary
            # mkdtemp and safetensors restrict permissions to the owner; apply the umask as for other files.
            for item in (*temporary.rglob("*"), temporary):
                os.chmod(item, (0o777 if item.is_dir() else 0o666) & ~_umask())
                (sync_folder if item.is_dir() else sync_file)(item)
            os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        why = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise NsadError(f"cannot write {path}", why, NEW_FOLDER) from error


@contextlib.contextmanager
def _temporary_beside(path: Path, *, folder: bool) -> Iterator[Path]:
    """Yield a new hidden file or folder in the folder of `path`; at the end it is removed unless it was renamed.

    A process holds a lock on it, which the operating system releases when the process ends. So an item without a lock
    was left by a killed process: it is removed first.
    """
    _remove_leftovers(path.parent)
    temporary, handle = _create(path, folder)
    try:
        yield temporary
    finally:
        _remove(temporary)
        os.close(handle)


def _remove_leftovers(folder: Path) -> None:
    """Remove the temporary items that killed processes left in a folder; those of running processes are kept."""
    with contextlib.suppress(OSError):  # leftovers do no harm if they cannot be removed
        for path in [Path(entry) for entry in os.scandir(folder) if _is_temporary(entry.name)]:
            with contextlib.suppress(OSError):
                _remove_unlocked(path)


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(TEMPORARY_SUFFIX)


def _create(path: Path, folder: bool) -> tuple[Path, int]:
    """Create and lock a temporary item; another process that removes leftovers may be faster than the lock."""
    prefix = f".{path.name}."
    while True:
        if folder:
            name = tempfile.mkdtemp(TEMPORARY_SUFFIX, prefix, path.parent)
            try:
                handle = os.open(name, os.O_RDONLY)
            except FileNotFoundError:
                continue
        else:
            handle, name = tempfile.mkstemp(TEMPORARY_SUFFIX, prefix, path.parent)
        with contextlib.suppress(OSError):  # a file system without locks: leftovers stay
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.exists(name):
            return Path(name), handle
        os.close(handle)


def _remove_unlocked(path: Path) -> None:
    """Remove an item, unless its lock is held.

    Raises:
        OSError: The lock is held, or the file system has no locks.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(path)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EPERM):  # unlink of a folder: EISDIR on Linux, EPERM elsewhere
            raise
        shutil.rmtree(path, ignore_errors=True)


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents, and wait until their names are on the disk.

    Raises:
        NsadError: It cannot be created.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            sync_folder(folder.parent)
    except OSError as error:
        raise write_error(path, error) from error


def require_new(path: Path) -> None:
    """Raise NsadError if the path exists and is not an empty folder."""
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        what = "is not empty" if path.is_dir() else "is not a folder"
        raise NsadError(f"{path} {what}", "its content would be overwritten or mixed with new files", NEW_FOLDER)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def file_stamp(path: Path | None) -> list[tuple[str, int, int]]:
    """Return name, size and modification time of a file, or of each file in a folder; empty if `path` is missing."""
    if path is None or not path.exists():
        return []
    found = []
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        with contextlib.suppress(OSError):  # the file may be removed in the meantime
            if file.is_file():
                found.append((str(file), file.stat().st_size, file.stat().st_mtime_ns))
    return found


def file_digest(path: Path) -> str:
    """Hash a file's content with SHA-256, to 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of files, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # some file systems cannot sync folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def folder_digest(folder: Path) -> str:
    """Hash the names and contents of a folder's files to 16 hex digits; hidden files do not count."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        digest.update(f"{path.relative_to(folder)}\0{file_digest(path)}\0".encode())
    return digest.hexdigest()[:16]


def weights_digest(folder: Path) -> str:
    """Hash all safetensors files of a folder to 16 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def text_of(value: Any) -> str:
    """Format a JSON value as the text of an answer; numbers have no exponent, so 0.00001 is unchanged."""
    if isinstance(value, float) and math.isfinite(value):
        return format(Decimal(repr(value)), "f")
    return str(value).strip()


def array_error(path: Path) -> UsageError:
    """Create the error for a file that holds one JSON array in place of lines."""
    return UsageError(
        f"{path} is a JSON array, not JSON lines",
        "every object has a line of its own, without brackets or commas around the lines",
        f"jq -c '.[]' {path} > lines.jsonl, then use lines.jsonl",
    )


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a JSON-lines file, or standard input for `-`; a corrupt line is skipped, with a note.

    Args:
        path: The file.

    Yields:
        The line number, from 1, and the object.

    Raises:
        NsadError: The file cannot be opened.
        UsageError: The file is one JSON array.
    """
    try:
        file = sys.stdin.buffer if str(path) == "-" else path.open("rb")
    except OSError as error:
        raise NsadError(f"cannot read {path}", error.strerror or str(error), "give the path of a file") from error
    first = True
    with file:
        for number, raw in enumerate(file, 1):
            if number == 1:
                raw = raw.removeprefix(codecs.BOM_UTF8)  # noqa: PLW2901
            if not raw.strip():
                continue
            if first and raw.lstrip().startswith(b"["):
                raise array_error(path)
            first = False
            try:
                value = json.loads(raw)
                json.dumps(value, ensure_ascii=False).encode()  # an unpaired surrogate could not be stored
            except (ValueError, RecursionError) as error:
                line_note(path, f"{path}:{number}: not JSON ({error}); line skipped")
                continue
            if isinstance(value, dict):
                yield number, value
            else:
                line_note(path, f"{path}:{number}: not a JSON object; line skipped")
