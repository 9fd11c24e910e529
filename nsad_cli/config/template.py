"""A new recipe with comments: chosen settings, and beside them the ones that are set most often, as comments."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import yaml

from nsad_cli.config.reference import Setting, sections, settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OFTEN_SET = (
    "student.model",
    "student.device",
    "problems.train",
    "problems.limit",
    "teacher.spec",
    "teacher.draws",
    "teacher.max_cost",
    "adapter.targets",
    "adapter.r",
    "training.negative.epochs",
    "training.nat.epochs",
    "training.nce.epochs",
    "training.ranker.kind",
    "training.ranker.split",
    "sampling.temperature",
    "sampling.max_new_tokens",
    "solve.rule",
    "solve.samples",
    "evaluation.benchmarks",
    "evaluation.limit",
    "evaluation.samples",
)
"""The settings that a new recipe shows, in the schema's order."""
WIDTH = 100
HEADER = """\
# A recipe of nsad. A line that is commented out shows a default; `nsad recipe show FILE` prints every setting, and
# docs/recipe-reference.md describes them.
#   nsad run {path} --plan     what it takes
#   nsad run {path}            run it; the same command resumes it
"""


def commented_recipe(path: str, chosen: Mapping[str, Any]) -> str:
    """Return the text of a new recipe.

    Args:
        path: The file's name, for the commands in its header.
        chosen: Values by dotted name; the other settings are comments.
    """
    known = {item.key: item for place, section, _ in sections() for item in settings(place, section)}
    lines = [HEADER.format(path=path)]
    open_sections: list[str] = []
    for key in OFTEN_SET:
        *parents, _ = key.split(".")
        for depth, name in enumerate(parents):
            if open_sections[depth : depth + 1] != [name]:
                active = any(item.startswith(".".join(parents[: depth + 1]) + ".") for item in chosen)
                lines.append(f"{'' if active else '# '}{'  ' * depth}{name}:")
                open_sections[depth:] = [name]
        del open_sections[len(parents) :]
        lines += _lines(known[key], len(parents), chosen)
    return "\n".join(lines) + "\n"


def _lines(item: Setting, depth: int, chosen: Mapping[str, Any]) -> Iterator[str]:
    indent = "  " * depth
    unit = f" Unit: {item.unit}." if item.unit else ""
    for line in textwrap.wrap(item.description + unit, WIDTH):
        yield f"{indent}# {line}"
    name = item.key.rpartition(".")[2]
    if item.key in chosen:
        value = yaml.safe_dump({name: chosen[item.key]}, default_flow_style=True, allow_unicode=True, width=10_000)
        yield f"{indent}{value.strip()[1:-1]}"
    else:
        yield f"# {indent}{name}: {'null' if item.default == 'unset' else item.default}"
