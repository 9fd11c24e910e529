"""Errors that a user can act on: what happened, why, what to do."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class NsadError(Exception):
    """An error reported in three lines: what happened, why, and what to do.

    `exit_code` is 1 for a failed job and 2 for incorrect usage.
    """

    exit_code = 1

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(f"{what}: {why}")
        self.what, self.why, self.fix = what, why, fix

    def __reduce__(self) -> tuple[type[NsadError], tuple[str, str, str]]:
        """Pickle by its parts, because errors of other processes are reported as they are."""
        return type(self), (self.what, self.why, self.fix)


class UsageError(NsadError):
    """Incorrect usage: an invalid flag, recipe key or argument."""

    exit_code = 2


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, at most 300 characters, or the name of its type if it is empty.

    Lines that end with a colon introduce the next one, which is then included.
    """
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    while len(lines) > 1 and lines[0].endswith(":"):
        lines[:2] = [f"{lines[0]} {lines[1]}"]
    return lines[0][:300] if lines else type(error).__name__


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `did you mean X?` for the most similar known name, or an empty string if none is similar."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean `{near[0]}`?" if near else ""
