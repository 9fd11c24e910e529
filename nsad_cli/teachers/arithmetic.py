"""The built-in teacher: right and wrong solutions of the built-in problems, offline and seeded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.problems import arithmetic
from nsad_cli.types import Draw, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nsad_cli.teachers.base import Request


class ArithmeticTeacher:
    """Right in about three draws of five; the others carry one real slip to their answer."""

    name = "arithmetic"

    def __init__(self) -> None:
        self.params: dict[str, Any] = {"version": 1}

    def problems(self) -> list[Problem] | None:
        """None: the recipe names its training problems (arithmetic:train)."""
        return None

    def draw(
        self, requests: Iterable[Request], keep: Callable[[list[Draw]], None], fail: Callable[[Problem, str], None]
    ) -> None:
        """Solve each problem as often as asked; a problem that is not a built-in one fails."""
        for request in requests:
            try:
                keep(
                    [
                        Draw(request.problem.id, self.name, index, arithmetic.solve(request.problem.question, index)[0])
                        for index in request.indices
                    ]
                )
            except ValueError as error:
                fail(request.problem, str(error))
