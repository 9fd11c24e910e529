"""Helpers of the benchmark readers: locating files, JSON documents, rows from the Hub."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError, first_line
from nsad_cli.utils.hub import require_hub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def locate(path: Path, *names: str) -> Path:
    """Return `path` if it is a file, else the first of `names` that exists in the folder.

    Raises:
        NsadError: There is no such file.
    """
    if path.is_file():
        return path
    for name in names:
        if (path / name).is_file():
            return path / name
    raise NsadError(f"no data at {path}", f"expected a file, or a folder with {' or '.join(names)}", "check the path")


def read_document(path: Path) -> Any:
    """Read one JSON document.

    Raises:
        NsadError: The file cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> NsadError:
    """Create the error for a damaged or unreadable data file."""
    return NsadError(f"cannot read {path}", str(error), "fetch the file again from its authors")


def hub_rows(repo: str, benchmark: str, split: str, config: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a dataset on the Hub.

    Raises:
        NsadError: The dataset is not cached and the Hub cannot be reached; raised within seconds.
    """
    fix = f"download it and name the path: --problems {benchmark}@PATH"
    require_hub(f"the data set {repo}", fix, repo=repo, kind="datasets")
    import datasets

    try:
        rows = datasets.load_dataset(repo, config, split=split)
    except Exception as error:  # datasets raises errors of many libraries; all mean the same to the user
        raise NsadError(f"cannot load {repo} from the Hub", first_line(error), fix) from error
    yield from rows


def plain_number(value: float | int | str) -> str:
    """Format a number without a trailing `.0` (51.0 becomes 51); other text is unchanged."""
    text = str(value).strip()
    return text[:-2] if text.endswith(".0") and text[:-2].lstrip("-").isdigit() else text
