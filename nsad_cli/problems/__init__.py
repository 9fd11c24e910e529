"""Benchmarks, loaded by spec NAME[:SPLIT][@PATH]: from the authors' raw files, or from the Hub without a path.

Built-in worlds are generated; their names have up to two parts: arithmetic[:WORLD][:SPLIT].
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError, UsageError, did_you_mean
from nsad_cli.problems.base import reader, reader_names
from nsad_cli.problems.worlds import DEFAULT_SPLIT, GENERATED, WORLDS, read_spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nsad_cli.types import Problem


@dataclass(frozen=True, slots=True)
class ProblemSpec:
    """A parsed spec; an empty split means the default split of the benchmark."""

    name: str
    split: str
    path: Path | None

    @property
    def label(self) -> str:
        """Name and split, without the path, as shown in results."""
        return f"{self.name}:{self.split}" if self.split else self.name


def parse_spec(spec: str) -> ProblemSpec:
    """Parse NAME[:SPLIT][@PATH].

    Raises:
        UsageError: The name, world or split is unknown; the message suggests the most similar one.
    """
    head, _, path = spec.partition("@")
    name, _, split = head.partition(":")
    if name not in (names := (*reader_names(), GENERATED)):
        hint = did_you_mean(name, names)
        raise UsageError(
            f"unknown benchmark `{name}`",
            f"--problems takes NAME[:SPLIT][@PATH], not `{spec}`",
            f"{hint + ' ' if hint else ''}known: {', '.join(names)}",
        )
    if name == GENERATED:
        world, split = read_spec(head)
        if path:
            raise UsageError(f"`{spec}` takes no path", f"{world.name} is generated", f"write {head}")
        name = world.benchmark
    if name == "jsonl" and not path:
        raise UsageError("`jsonl` needs a path", "it reads your own file", "write jsonl@FILE")
    return ProblemSpec(name, split, Path(path).expanduser() if path else None)


def default_split(name: str) -> str:
    """Return the split that is used if a spec names none."""
    return DEFAULT_SPLIT if name in WORLDS else reader(name).SPLITS[0]


def load_problems(spec: str, *, limit: int | None = None) -> list[Problem]:
    """Load the problems of a spec; a corrupt line is skipped, with a note.

    Args:
        spec: NAME[:SPLIT][@PATH].
        limit: The maximum number of problems, in file order; as many problems of a built-in world are generated.

    Raises:
        NsadError: A file cannot be read or contains no problem, or the Hub cannot be reached.
    """
    parsed = parse_spec(spec)
    if parsed.name in WORLDS:
        found = list(WORLDS[parsed.name].problems(parsed.split, limit))
    else:
        found = list(itertools.islice(_read(parsed), limit))
    if not found:
        raise NsadError(f"`{spec}` contains no problem", "no line of it could be read", "check the path and the format")
    return found


def _read(parsed: ProblemSpec) -> Iterator[Problem]:
    source = reader(parsed.name)
    split = parsed.split or default_split(parsed.name)
    if split not in source.SPLITS:
        raise UsageError(
            f"{parsed.name} has no split `{split}`", "its authors publish others", f"splits: {', '.join(source.SPLITS)}"
        )
    if parsed.path is not None:
        yield from source.read(parsed.path, split)
    else:
        yield from source.from_hub(split)
