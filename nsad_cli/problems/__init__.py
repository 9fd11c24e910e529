"""Benchmarks, loaded by spec NAME[:SPLIT][@PATH]: from the authors' raw files, or from the Hub without a path.

Built-in worlds are generated; their names have up to two parts: arithmetic[:WORLD][:SPLIT]. A slice before the path
selects problems by position, as in the `datasets` library: `gsm8k:test[100:300]`.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError, UsageError, did_you_mean
from nsad_cli.problems.base import reader, reader_names
from nsad_cli.problems.worlds import DEFAULT_SPLIT, GENERATED, WORLDS, read_spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nsad_cli.types import Problem


_SLICE = re.compile(r"\[([0-9]{0,9}):([0-9]{0,9})\]\Z")


@dataclass(frozen=True, slots=True)
class ProblemSpec:
    """A parsed spec.

    Attributes:
        name: The benchmark.
        split: The split; empty for the benchmark's default split.
        path: The authors' raw files, or None.
        start: The position of the first problem that is used.
        stop: The position after the last one; None for the end.
    """

    name: str
    split: str
    path: Path | None
    start: int = 0
    stop: int | None = None

    @property
    def label(self) -> str:
        """Name, split and slice, without the path, as shown in results."""
        part = f"[{self.start or ''}:{'' if self.stop is None else self.stop}]"
        return f"{self.name}{self.split and ':'}{self.split}{'' if part == '[:]' else part}"


def parse_spec(spec: str) -> ProblemSpec:
    """Parse NAME[:SPLIT][@PATH], with or without a slice before the path.

    Raises:
        UsageError: The name, world, split or slice is invalid; the message suggests the most similar name.
    """
    head, _, path = spec.partition("@")
    head, start, stop = _parse_slice(head)
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
    return ProblemSpec(name, split, Path(path).expanduser() if path else None, start, stop)


def _parse_slice(head: str) -> tuple[str, int, int | None]:
    """Return what precedes a slice, its start, and its stop or None."""
    if "[" not in head:
        return head, 0, None
    found = _SLICE.search(head)
    start, stop = (int(part) if part else None for part in found.groups()) if found else (0, 0)
    if found is None or (stop is not None and stop <= (start or 0)):
        raise UsageError(
            f"invalid slice in `{head}`",
            "it is [START:STOP] with START below STOP, counted from 0; either can be left out",
            "for example gsm8k:test[100:300]",
        )
    return head[: found.start()], start or 0, stop


def default_split(name: str) -> str:
    """Return the split that is used if a spec names none."""
    return DEFAULT_SPLIT if name in WORLDS else reader(name).SPLITS[0]


def load_problems(spec: str, *, limit: int | None = None) -> list[Problem]:
    """Load the problems of a spec; a corrupt line is skipped, with a note.

    Args:
        spec: NAME[:SPLIT][@PATH], with or without a slice before the path.
        limit: The maximum number of problems, in file order; as many problems of a built-in world are generated.

    Raises:
        NsadError: A file cannot be read or contains no problem, or the Hub cannot be reached.
    """
    parsed = parse_spec(spec)
    ends = [end for end in (parsed.stop, None if limit is None else parsed.start + limit) if end is not None]
    stop = min(ends, default=None)
    source = WORLDS[parsed.name].problems(parsed.split, stop) if parsed.name in WORLDS else _read(parsed)
    found = list(itertools.islice(source, parsed.start, stop))
    if not found and parsed.start:
        raise NsadError(
            f"`{spec}` contains no problem", f"there are at most {parsed.start} problems", "use a smaller START"
        )
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
