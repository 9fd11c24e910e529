"""The recipe reference: every setting of the schema with type, default, unit, description and source, as Markdown.

`python -m nsad_cli.config.reference` prints docs/recipe-reference.md.
"""

from __future__ import annotations

import ast
import functools
import json
import re
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nsad_cli.config import schema
from nsad_cli.config.schema import DeviceName, EngineName, Recipe, Section, StageConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

INTRODUCTION = """\
# Recipe reference

Every setting of a recipe, from the schema in `nsad_cli/config/schema.py`. Write a setting as nested YAML keys, or by
its dotted name with `--set KEY=VALUE`. [Recipes](recipes.md) describes the shipped recipes and the precedence of flags,
variables and files.

A default without a source is ours. *Reference code* is the code of the paper's authors;
[Method and deviations](method.md) has its settings.

This page is generated: `python -m nsad_cli.config.reference > docs/recipe-reference.md`.
"""
HEADER = "| setting | type | default | description |\n| --- | --- | --- | --- |"
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
NAMES = {str: "text", int: "integer", float: "number", bool: "true or false"}
KNOWN: dict[Any, str] = {DeviceName: "device", EngineName: "engine"}
DETAIL = re.compile(r"\b(Unit|Source): ")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a recipe."""

    key: str
    """The dotted name."""
    type: str
    default: str
    description: str
    unit: str = ""
    source: str = ""


@functools.cache
def _docstrings() -> dict[tuple[str, str], str]:
    """Return the text below each setting in the schema's source, by class and name."""
    found = {}
    for node in ast.parse(Path(schema.__file__).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            for item, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(item, ast.AnnAssign) and isinstance(after, ast.Expr):
                    assert isinstance(item.target, ast.Name)
                    found[node.name, item.target.id] = " ".join(str(ast.literal_eval(after.value)).split())
    return found


def setting(section: type[Section], name: str, key: str) -> Setting:
    """Return a setting of a section by name; its text is that of the nearest class that describes it."""
    field = section.model_fields[name]
    return Setting(key, _type(field), _value(field.default), *described(section, name))


def described(section: type[Section], name: str) -> tuple[str, str, str]:
    """Return the description, unit and source of a setting or subsection; empty for what is not stated."""
    texts = _docstrings()
    text = next((texts[kind.__name__, name] for kind in section.__mro__ if (kind.__name__, name) in texts), "")
    description, *rest = DETAIL.split(text)
    details = {name: value.strip().removesuffix(".") for name, value in zip(rest[::2], rest[1::2], strict=True)}
    return description.strip(), details.get("Unit", ""), details.get("Source", "")


def sections(
    section: type[Section] = Recipe, path: str = "", about: str = ""
) -> Iterator[tuple[str, type[Section], str]]:
    """Yield every section by its dotted name with what it is about, the recipe itself first with an empty name."""
    own = " ".join((section.__doc__ or "").split("\n\n")[0].split())
    yield path, section, f"{own} {about}".strip()
    for name, field in section.model_fields.items():
        if inner := _section_of(field.annotation):
            optional = "Unset by default." if field.default is None else ""
            text = f"{optional} {_docstrings().get((section.__name__, name), '')}".strip()
            yield from sections(inner, f"{path}.{name}" if path else name, text)


def settings(path: str, section: type[Section]) -> list[Setting]:
    """Return the settings of a section without those of its subsections."""
    prefix = f"{path}." if path else ""
    names = [name for name, field in section.model_fields.items() if not _section_of(field.annotation)]
    return [setting(section, name, prefix + name) for name in names]


def markdown() -> str:
    """Return the whole reference."""
    parts = [INTRODUCTION]
    for path, section, about in sections():
        parts.append(f"## {path or 'The recipe itself'}\n\n{about}\n\n{HEADER}")
        parts += [_row(item) for item in settings(path, section)]
        parts.append("")
    parts.append(
        "## training.baseline\n\nThe settings of all baselines, which take the keys of `training.nat`: "
        f"{', '.join(f'`{name}`' for name in StageConfig.model_fields)}. Unset ones are NAT's.\n"
    )
    return "\n".join(parts)


def _row(item: Setting) -> str:
    kind = f"{item.type} ({item.unit})" if item.unit else item.type
    about = f"{item.description} *Source: {item.source}.*" if item.source else item.description
    cells = (f"`{item.key}`", kind, f"`{item.default}`", about)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _section_of(annotation: Any) -> type[Section] | None:
    """Return the section of a field, also of an optional one; None for a plain setting or a list of sections."""
    kinds = [annotation, *(typing.get_args(annotation) if isinstance(annotation, types.UnionType) else ())]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)), None)


def _type(field: FieldInfo) -> str:
    """Return a field's type in words, with its bounds."""
    bounds = [
        f"{sign} {getattr(item, name)}"
        for item in field.metadata
        for name, sign in BOUNDS.items()
        if getattr(item, name, None) is not None
    ]
    return ", ".join([_in_words(field.annotation, field.metadata), *bounds])


def _in_words(annotation: Any, metadata: Any = ()) -> str:
    for known, name in KNOWN.items():
        if annotation is known or (metadata and annotation is str and typing.get_args(known)[1] in metadata):
            return name
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_in_words(item) for item in inner if item is not type(None))
    if origin is list:
        item = inner[0]
        return "list of demonstrations" if _section_of(item) else f"list of: {_in_words(item)}"
    if origin is dict:
        return "mapping"
    return NAMES[annotation]


def _value(default: Any) -> str:
    """Return a default as it is written in YAML."""
    if isinstance(default, str):
        return json.dumps(default, ensure_ascii=False) if not default or "\n" in default else default
    return "unset" if default is None else json.dumps(default, ensure_ascii=False)


if __name__ == "__main__":
    print(markdown(), end="")
