"""`nsad recipe`: show, check and compare recipes, and print their JSON Schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import AsJson, RecipeName, Settings, parse_settings, with_log_options
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

app = typer.Typer(
    help="Show, check or compare recipes, or print their JSON Schema.", no_args_is_help=True, add_completion=False
)


@app.command("show")
@with_log_options
def show(recipe: RecipeName, settings: Settings = None, as_json: AsJson = False) -> None:
    """Print every setting of a recipe, defaults and your config file included, as YAML."""
    from nsad_cli.config.recipes import find_recipe, load_recipe, recipe_yaml

    loaded = load_recipe(find_recipe(recipe), parse_settings(settings))
    if as_json:
        print_json(loaded.model_dump(mode="json"))
    else:
        print(recipe_yaml(loaded), end="")


@app.command("check")
@with_log_options
def check(recipe: RecipeName, as_json: AsJson = False) -> None:
    """Check a recipe's keys and values; exit 2 with the first error. Nothing is loaded or run."""
    from nsad_cli.config.recipes import find_recipe, load_recipe

    path = find_recipe(recipe)
    load_recipe(path)
    if as_json:
        print_json({"recipe": str(path), "valid": True})
    else:
        note(f"{path} is valid")
        note(f"next: nsad run {recipe} --plan")


@app.command("schema")
@with_log_options
def schema() -> None:
    """Print the JSON Schema of recipes, for editors that complete and check YAML."""
    from nsad_cli.config.json_schema import recipe_schema

    print_json(recipe_schema())


@app.command("diff")
@with_log_options
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A recipe, or a run.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    as_json: AsJson = False,
) -> None:
    """Print the settings in which two recipes or runs differ."""
    from nsad_cli.cli.render.tables import new_table, plain
    from nsad_cli.config.recipe_diff import differing

    rows = differing(_settings(first), _settings(second))
    if as_json:
        print_json(
            {"a": first, "b": second, "differing": [dict(zip(("setting", "a", "b"), row, strict=True)) for row in rows]}
        )
    elif not rows:
        note(f"{first} and {second} have the same settings")
    else:
        table = new_table("", "setting", plain(first), plain(second), left=3)
        for row in rows:
            table.add_row(*map(plain, row))
        for column in table.columns:
            column.overflow = "fold"
        out().print(table)


def _settings(name: str) -> Mapping[str, Any]:
    """Return the settings of a run of that name, or else of a recipe."""
    from nsad_cli.config.recipe_diff import flat, settings
    from nsad_cli.config.recipes import find_recipe, load_recipe
    from nsad_cli.runs.run import is_valid_name, runs_home

    stored = runs_home() / name / "recipe.yaml"
    if is_valid_name(name) and stored.is_file():
        return settings(stored)
    return flat(load_recipe(find_recipe(name)).model_dump(mode="json"))
