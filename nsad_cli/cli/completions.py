"""Values that the shell offers for options and arguments; a value is offered only from what is at hand."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


def _offer(values: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Make a completion from all known values; an error offers nothing, since a shell has no place to print it."""

    @functools.wraps(values)
    def complete(incomplete: str) -> list[str]:
        from nsad_cli.errors import NsadError

        try:
            return [value for value in values() if value.startswith(incomplete)]
        except (NsadError, OSError):
            return []

    complete.__annotations__ = {"incomplete": str, "return": list}
    del complete.__wrapped__  # typer reads the signature
    return complete


@_offer
def run_names() -> Iterable[str]:
    """Offer the names of the runs, the newest first."""
    from nsad_cli.runs.run import list_runs

    return [run.name for run in list_runs()]


def _recipe_files() -> dict[str, Path]:
    """Return the shipped recipes and studies by name, and the YAML files of the current folder."""
    from pathlib import Path

    from nsad_cli.config.recipes import shipped_recipes

    return {**shipped_recipes(), **{str(path): path for path in sorted(Path().glob("*.yaml"))}}


@_offer
def study_names() -> Iterable[str]:
    """Offer studies, and recipes, which --arms makes studies."""
    return _recipe_files()


@_offer
def recipe_names() -> Iterable[str]:
    """Offer recipes, without studies."""
    files = _recipe_files().items()
    return [name for name, path in files if "\narms:" not in path.read_text(encoding="utf-8", errors="replace")]


@_offer
def problem_sets() -> Iterable[str]:
    """Offer the names of the benchmarks with their splits."""
    from nsad_cli.problems.base import reader, reader_names
    from nsad_cli.problems.worlds import WORLDS

    known = [f"{name}:{split}" for name in reader_names() for split in reader(name).SPLITS]
    return [*known, *(f"{world.name}:{split}" for world in WORLDS.values() for split in world.sizes)]


@_offer
def rules() -> Iterable[str]:
    """Offer the rules of votes."""
    from typing import get_args

    from nsad_cli.config.choices import Rule

    return get_args(Rule)


@_offer
def devices() -> Iterable[str]:
    """Offer the devices."""
    return ("auto", "cpu", "mps", "cuda")


@_offer
def dtypes() -> Iterable[str]:
    """Offer the precisions of the student."""
    from nsad_cli.config.choices import DTYPES

    return DTYPES


@_offer
def engines() -> Iterable[str]:
    """Offer the engines; a server needs an address."""
    return ("hf", "vllm", "server@http://")


@_offer
def teachers() -> Iterable[str]:
    """Offer the built-in teachers and the prefixes of the others."""
    from nsad_cli.problems.worlds import WORLDS

    return (*WORLDS, "gpt-4", "gpt-3.5-turbo", "hf:", "vllm:", "tdg:", "gsm8k-solutions:", "jsonl:")


@_offer
def settings() -> Iterable[str]:
    """Offer the keys of a recipe, for --set."""
    from nsad_cli.config.schema import Recipe, Section

    def keys(section: type[Section], prefix: str) -> Iterable[str]:
        for name, field in section.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, Section):
                yield from keys(inner, f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}="

    return list(keys(Recipe, ""))


@_offer
def model_names() -> Iterable[str]:
    """Offer the models of a run: untrained, of the method, and baselines."""
    from nsad_cli.config.stages import models

    return models()
