"""The built-in teacher: seeded correct and wrong solutions of the built-in problems, without any model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.problems import arithmetic
from nsad_cli.types import Draw, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nsad_cli.teachers.base import Request


class ArithmeticTeacher:
    """Solves about three draws of five correctly; the others contain one realistic mistake."""

    name = "arithmetic"

    def __init__(self) -> None:
        self.params: dict[str, Any] = {"version": 1}

    def problems(self) -> list[Problem] | None:
        """Return None: the recipe names the problems (arithmetic:train)."""
        return None

    def draw(
        self,
        requests: Iterable[Request],
        on_draws: Callable[[list[Draw]], None],
        on_failure: Callable[[Problem, str], None],
    ) -> None:
        """Answer requests; see Teacher.draw. Problems that are not built-in ones fail."""
        for request in requests:
            try:
                on_draws(
                    [
                        Draw(request.problem.id, self.name, index, arithmetic.solve(request.problem.question, index)[0])
                        for index in request.indices
                    ]
                )
            except ValueError as error:
                on_failure(request.problem, str(error))
