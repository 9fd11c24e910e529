"""The problems that `nsad collect` takes if none are named, and the confirmation before they cost money."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nsad_cli.cli.console import err
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from nsad_cli.collection.quote import Quote
    from nsad_cli.config.schema import Recipe

MATH = "math:train"
"""The paper's training problems."""


def default_problems(recipe: Recipe) -> str | None:
    """Return the spec of the training problems for a recipe that names none; None if its teacher has its own.

    MATH is read from $NSAD_DATA/math if that has a training split, else from the Hub.

    Raises:
        UsageError: There is no such built-in teacher.
    """
    from nsad_cli.config.plugins import TEACHERS, plugin_names
    from nsad_cli.problems.worlds import DEFAULT_SPLIT, teacher_world
    from nsad_cli.teachers import RECORDED, is_free, make_teacher, scheme_of

    if recipe.problems.train is not None or scheme_of(recipe.teacher.spec) in RECORDED:
        return None
    if is_free(recipe.teacher.spec):  # a built-in world: its own problems
        return f"{teacher_world(recipe.teacher.spec).name}:{DEFAULT_SPLIT}"
    if scheme_of(recipe.teacher.spec) in plugin_names(TEACHERS):
        own = make_teacher(recipe.teacher.spec, recipe.teacher).problems()
        if own is not None:
            return None
    folder = _local_math()
    return f"{MATH}@{folder}" if folder is not None else MATH


def _local_math() -> Path | None:
    root = os.environ.get("NSAD_DATA")
    if not root:
        return None
    folder = Path(root).expanduser().resolve() / "math"
    return folder if (folder / "train.jsonl").is_file() or (folder / "train").is_dir() else None


def quote_math(name: str | None, recipe: Recipe, store: Path | None) -> Quote:
    """Quote a collection; if MATH is to come from the Hub and cannot, name both ways to it.

    Raises:
        NsadError: The problems cannot be loaded.
    """
    from nsad_cli.pipeline.dry_run import quote_collection

    try:
        return quote_collection(name, recipe, store)
    except NsadError as error:
        if recipe.problems.train != MATH:
            raise
        raise NsadError(
            "no --problems given, and MATH's training problems cannot be loaded",
            f"{error.what}: {error.why}",
            "set NSAD_DATA to a folder with math/train.jsonl, connect to the Hub, or give --problems",
        ) from error


def confirm_math(name: str | None, recipe: Recipe, store: Path | None, *, yes: bool) -> None:
    """Show what collecting MATH would cost, and ask before anything is spent.

    Args:
        name: The run's name; None for a new run.
        recipe: The recipe, with the chosen problems.
        store: The store that a new run would share, if any.
        yes: Whether the user has agreed already (--yes).

    Raises:
        NsadError: The teacher or the problems are not available, or the user declined.
        UsageError: There is no terminal to ask on, and neither --yes nor --max-cost is given.
    """
    from nsad_cli.cli.render.quote import print_quote
    from nsad_cli.teachers import is_api, make_teacher

    make_teacher(recipe.teacher.spec, recipe.teacher)  # a missing key is reported before anything is read
    quote = quote_math(name, recipe, store)
    note(f"no --problems given: using the paper's, MATH's training problems ({recipe.problems.train})")
    if not is_api(recipe.teacher.spec) or quote.to_ask == 0:
        return
    print_quote(quote, err())
    if not yes:
        _ask(quote, recipe)


def _ask(quote: Quote, recipe: Recipe) -> None:
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        if recipe.teacher.max_cost is not None:
            return
        raise UsageError(
            "confirmation needed: --problems is not given, and MATH costs money",
            f"{quote.to_ask:,} samples would be requested from {quote.teacher}, and there is no terminal to ask on",
            "add --yes or --max-cost USD, or name the --problems",
        )
    from rich.prompt import Confirm

    if not Confirm.ask(f"Request {quote.to_ask:,} samples from {quote.teacher}?", console=err(), default=False):
        raise NsadError("nothing was requested", "you declined", "name other --problems, or add --limit N")
