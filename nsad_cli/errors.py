"""Errors that a user can act on: what happened, why, what to do."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class NsadError(Exception):
    """A failure told in three lines; `exit_code` is 1 for a failed job, 2 for wrong use."""

    exit_code = 1

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(f"{what}: {why}")
        self.what, self.why, self.fix = what, why, fix


class UsageError(NsadError):
    """Wrong use: a flag, a recipe key or an argument that cannot be meant."""

    exit_code = 2


def first_line(error: Exception) -> str:
    """The first line of a library's message, shortened; the error's name where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Say `did you mean X?`, or nothing where no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean `{near[0]}`?" if near else ""
