"""Where output goes: results to stdout, all else to stderr."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from nsad_cli.utils.distributed import is_main_process

if TYPE_CHECKING:
    from rich.console import Console


def out() -> Console:
    """The console for results."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty(), quiet=not is_main_process())


def err() -> Console:
    """The console for everything else."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def say(text: str) -> None:
    """One line to stderr; of several processes the first one speaks."""
    if is_main_process():
        print(text, file=sys.stderr, flush=True)


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on one line of stdout; of several processes the first one speaks."""
    if is_main_process():
        print(json.dumps(value, ensure_ascii=False), flush=True)


def print_error(what: str, why: str, fix: str) -> None:
    """An error in three lines."""
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    red, reset = ("\x1b[1;31m", "\x1b[0m") if colour else ("", "")
    one_line = [" ".join(part.split()) for part in (what, why, fix)]
    text = f"{red}error:{reset} {one_line[0]}\n  why: {one_line[1]}\n  try: {one_line[2]}"
    print(text, file=sys.stderr, flush=True)
