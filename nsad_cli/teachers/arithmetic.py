"""The built-in teachers: seeded correct and wrong solutions of a built-in world's problems, without any model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.types import Draw, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nsad_cli.problems.worlds import World
    from nsad_cli.teachers.base import Request


class ArithmeticTeacher:
    """Solves about three draws of five correctly; the others contain one realistic mistake.

    Args:
        world: The world whose problems it solves.
    """

    def __init__(self, world: World) -> None:
        self.name = world.name
        self.params: dict[str, Any] = dict(world.params)
        self._solve = world.solve

    def problems(self) -> list[Problem] | None:
        """Return None: the recipe names the problems."""
        return None

    def draw(
        self,
        requests: Iterable[Request],
        on_draws: Callable[[list[Draw]], None],
        on_failure: Callable[[Problem, str], None],
    ) -> None:
        """Answer requests; see Teacher.draw. Problems of other worlds and benchmarks fail."""
        for request in requests:
            try:
                on_draws(
                    [
                        Draw(request.problem.id, self.name, index, self._solve(request.problem.question, index)[0])
                        for index in request.indices
                    ]
                )
            except ValueError as error:
                on_failure(request.problem, str(error))
