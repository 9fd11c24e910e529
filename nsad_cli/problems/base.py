"""The ProblemReader protocol and the readers by the names of their benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nsad_cli.config.plugins import PROBLEMS, load_plugin, plugin_names
from nsad_cli.errors import NsadError
from nsad_cli.problems import asdiv, gsm8k, jsonl, math, multiarith, svamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nsad_cli.types import Problem


class ProblemReader(Protocol):
    """A reader of one benchmark: a module, or any object with these attributes.

    Entry points in the group `nsad.problems` add readers; the entry point's name is the benchmark's.
    """

    @property
    def SPLITS(self) -> tuple[str, ...]:  # noqa: N802 - a constant of a module
        """Names of the splits; the first is the default."""

    def read(self, path: Path, split: str) -> Iterator[Problem]:
        """Read a split from the authors' raw files.

        Args:
            path: a file or a folder, as the user named it.
            split: one of SPLITS.

        Raises:
            NsadError: the data cannot be read. A corrupt line is skipped, with `utils.logs.line_note`.
        """

    def from_hub(self, split: str) -> Iterator[Problem]:
        """Read a split from the Hugging Face Hub.

        Raises:
            NsadError: the Hub cannot be reached, or does not have the data.
        """


_BUILT_IN: Mapping[str, ProblemReader] = {
    "math": math,
    "gsm8k": gsm8k,
    "asdiv": asdiv,
    "multiarith": multiarith,
    "svamp": svamp,
    "jsonl": jsonl,
}


def reader_names() -> tuple[str, ...]:
    """Return the names of all readers, those of plugins last."""
    return (*_BUILT_IN, *(name for name in plugin_names(PROBLEMS) if name not in _BUILT_IN))


def reader(name: str) -> ProblemReader:
    """Return the reader of a benchmark.

    Raises:
        NsadError: the plugin that has it cannot be loaded.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    found: ProblemReader | None = load_plugin(PROBLEMS, name)
    missing = [part for part in ("SPLITS", "read", "from_hub") if not hasattr(found, part)]
    if found is None or missing:
        why = "its plugin cannot be loaded: see the warning above" if found is None else f"it lacks {missing[0]}"
        raise NsadError(f"the problems `{name}` cannot be read", why, "fix or uninstall the package that offers them")
    return found
