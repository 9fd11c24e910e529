"""The example package of docs/plugins.md, installed into a folder."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import nsad_cli

DOCUMENT = Path(__file__).parents[2] / "docs" / "plugins.md"


def example_files() -> dict[str, str]:
    """The files of the example by name: each code block whose introduction names a file."""
    return dict(re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S))


def install_example(folder: Path, **replaced: str) -> dict[str, str]:
    """Install the example package, without pip.

    Args:
        folder: a new folder, to put on the path.
        replaced: contents in place of the document's, by module name.

    Returns:
        The environment variable by which a command finds the package.
    """
    files = example_files()
    project = tomllib.loads(files.pop("pyproject.toml"))["project"]
    package, info = folder / "nsad_example", folder / "nsad_example-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").touch()
    for name, text in files.items():
        (folder / name).write_text(replaced.get(Path(name).stem, text), encoding="utf-8")
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(Path(nsad_cli.__file__).parents[1])])}
