"""`nsad config`: where each setting comes from."""

from __future__ import annotations

from typing import Annotated

import typer

from nsad_cli.cli import completions
from nsad_cli.cli.console import out, print_json
from nsad_cli.cli.options import AsJson, with_log_options
from nsad_cli.utils.logs import note

app = typer.Typer(
    help="Show where each setting comes from: defaults, your file, variables, a recipe.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback()
def config() -> None:
    """Show where each setting comes from: defaults, your file, variables, a recipe."""


@app.command("show")
@with_log_options
def show(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="[RECIPE]",
            help="A YAML file, or the name of a shipped recipe.",
            autocompletion=completions.recipe_names,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Show settings that have their default, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the settings that are not defaults, each with its value and where it comes from."""
    from nsad_cli.cli.render.tables import new_table, plain
    from nsad_cli.config.origins import DEFAULT, origins
    from nsad_cli.config.recipes import find_recipe, user_config_path

    found = origins(None if recipe is None else find_recipe(recipe))
    shown = {key: item for key, item in found.items() if every or item[1] != DEFAULT}
    if as_json:
        import json

        rows = {key: {"value": json.loads(value), "source": source} for key, (value, source) in shown.items()}
        print_json({"config_file": str(user_config_path()), "settings": rows})
        return
    if shown:
        table = new_table("", "setting", "value", "from", left=3)
        for key, (value, source) in shown.items():
            table.add_row(*map(plain, (key, value, source)))
        for column in table.columns:
            column.overflow = "fold"
        out().print(table)
    else:
        note("every setting has its default")
    state = "" if user_config_path().is_file() else ", which does not exist"
    note(f"your config file is {user_config_path()}{state}; flags have the last word")
