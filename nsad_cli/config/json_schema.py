"""The JSON Schema of a recipe, for editors: pydantic's, with the description of every setting."""

from __future__ import annotations

from typing import Any

from nsad_cli.config import schema
from nsad_cli.config.reference import described
from nsad_cli.config.schema import Recipe, Section

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def recipe_schema() -> dict[str, Any]:
    """Return the schema."""
    found = Recipe.model_json_schema()
    for name, part in (("Recipe", found), *found.get("$defs", {}).items()):
        section = getattr(schema, name, None)
        if isinstance(section, type) and issubclass(section, Section):
            _describe(section, part)
    return {"$schema": DIALECT, **found}


def _describe(section: type[Section], part: dict[str, Any]) -> None:
    for name, value in part.get("properties", {}).items():
        text, unit, source = described(section, name)
        parts = (text, unit and f"Unit: {unit}.", source and f"Source: {source}.")
        if any(parts):
            value["description"] = " ".join(filter(None, parts))
