"""What every teacher is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nsad_cli.types import Draw, Problem

Usage = tuple[int, int] | None
"""Tokens of prompt and answer that a reply says it was charged for; None where it says nothing."""


def _at_no_cost(draws: int, usage: Usage) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Request:
    """The draws that a problem still lacks."""

    problem: Problem
    indices: tuple[int, ...]
    again: Callable[[int, Usage], bool] = _at_no_cost
    """Told of a reply to a request for so many draws that brought none; whether the money allows to ask once more."""


class Teacher(Protocol):
    """A source of rationales."""

    name: str
    params: dict[str, Any]
    """All that shapes a draw (sampling parameters, prompt): part of a draw's key in the store."""

    def problems(self) -> list[Problem] | None:
        """The problems that a recorded teacher brings; None where any may be asked."""

    def draw(
        self, requests: Iterable[Request], keep: Callable[[list[Draw]], None], fail: Callable[[Problem, str], None]
    ) -> None:
        """Answer the requests: every batch of draws goes to `keep` when it arrives, a lost problem to `fail`.

        A request is taken from the iterable when there is room for it: whoever made it holds a claim on it from then.
        Raises NsadError where nothing at all can be answered (no key, no server, no model).
        """
