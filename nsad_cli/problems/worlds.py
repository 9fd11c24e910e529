"""The built-in worlds: generated problems with a built-in teacher, named `arithmetic` or `arithmetic:WORLD`.

A spec of problems is WORLD[:SPLIT], e.g. `arithmetic:test` or `arithmetic:plan-traps:test`; a teacher's is WORLD.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import UsageError, did_you_mean
from nsad_cli.problems import arithmetic, plan_traps, student_slips

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from nsad_cli.types import Problem

GENERATED = "arithmetic"
"""What the spec of every built-in world begins with."""


@dataclass(frozen=True, slots=True)
class World:
    """Generated problems and the built-in teacher that solves them.

    Attributes:
        name: The teacher's spec and name.
        benchmark: The name of the problems in results; a world that only has a teacher of its own shares another's.
        sizes: The default number of problems of each split.
        problems: Yields the first problems of a split, by default as many as `sizes` has.
        solve: Generates a rationale for a question and a sample index, and names its error.
        params: What affects the content of the teacher's draws; part of their key.
    """

    name: str
    benchmark: str
    sizes: Mapping[str, int]
    problems: Callable[[str, int | None], Iterator[Problem]]
    solve: Callable[[str, int], tuple[str, str | None]]
    params: Mapping[str, Any]


ARITHMETIC = World(GENERATED, GENERATED, arithmetic.SIZES, arithmetic.problems, arithmetic.solve, {"version": 1})
STUDENT_SLIPS = World(
    "arithmetic:student-slips",
    GENERATED,
    arithmetic.SIZES,
    arithmetic.problems,
    student_slips.solve,
    {"version": 1, "world": "student-slips"},
)
PLAN_TRAPS = World(
    plan_traps.NAME,
    plan_traps.NAME,
    plan_traps.SIZES,
    plan_traps.problems,
    plan_traps.solve,
    {"version": 1, "world": "plan-traps"},
)
WORLDS = {world.name: world for world in (ARITHMETIC, STUDENT_SLIPS, PLAN_TRAPS)}
DEFAULT_SPLIT = "train"


def read_spec(spec: str) -> tuple[World, str]:
    """Read the spec of generated problems, `arithmetic[:WORLD][:SPLIT]`.

    Args:
        spec: The spec, without a path.

    Returns:
        The world and the split.

    Raises:
        UsageError: There is no such world or split.
    """
    head, _, last = spec.rpartition(":")
    for name, split in ((spec, DEFAULT_SPLIT), (head, last or DEFAULT_SPLIT)):
        world = WORLDS.get(name)
        if world is not None and split in world.sizes:
            return world, split
    what = "split or world" if head == GENERATED else "split"
    raise UsageError(
        f"`{spec}` is not one of the built-in problem sets",
        f"{head} has no {what} `{last}`" if head in WORLDS else f"there is no world `{head}`",
        _offer(spec, [f"{world.name}:{split}" for world in WORLDS.values() for split in world.sizes]),
    )


def teacher_world(spec: str) -> World:
    """Return the world whose teacher has a spec.

    Raises:
        UsageError: No built-in teacher has it.
    """
    if spec in WORLDS:
        return WORLDS[spec]
    raise UsageError(
        f"unknown teacher `{spec}`",
        "the built-in teachers are named after their worlds, without a split or path",
        _offer(spec, WORLDS),
    )


def _offer(spec: str, known: Collection[str]) -> str:
    hint = did_you_mean(spec, known)
    return f"{hint + ' ' if hint else ''}known: {', '.join(known)}"
