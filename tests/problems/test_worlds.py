"""Specs of the built-in worlds, and that the worlds before them are unchanged."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from nsad_cli.cli.collect_defaults import default_problems
from nsad_cli.collection.collect import params_key
from nsad_cli.config.schema import Recipe, TeacherConfig
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.problems import arithmetic, default_split, load_problems, parse_spec
from nsad_cli.problems.decontamination import find_leaks
from nsad_cli.problems.worlds import WORLDS, World
from nsad_cli.teachers import is_api, is_free, make_teacher
from nsad_cli.teachers.base import Request

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.types import Draw, Problem

SLIPS, TRAPS = "arithmetic:student-slips", "arithmetic:plan-traps"
OUTPUTS = {
    "arithmetic": "ca9c4ed3083809020cd7775685993673e03aa8ebf2f242f75a21cb92a6388f92",
    SLIPS: "2a66211dc6fa54f22b27142779e9c4076ec59d5e5b0280aaba396083f85963f1",
    TRAPS: "e5b53a83f1e55b59947a9e67f7a3a54b1e774673604a43d6d089ce0ea766c470",
}
"""SHA-256 of each world's problems and eight draws of each, as the first version of the teacher (`params`) wrote them.

Stored samples and problems keep their meaning: a change needs a new version. `arithmetic` is older than worlds.
"""


def teacher_of(spec: str) -> tuple[str, dict[str, object], str]:
    teacher = make_teacher(spec, TeacherConfig())
    return teacher.name, teacher.params, params_key(teacher)


def answers(spec: str, problem: Problem, draws: int) -> tuple[list[Draw], list[str]]:
    found: list[Draw] = []
    failed: list[str] = []
    make_teacher(spec, TeacherConfig()).draw(
        [Request(problem, tuple(range(draws)))], found.extend, lambda _, why: failed.append(why)
    )
    return found, failed


@pytest.mark.parametrize("world", WORLDS.values(), ids=lambda world: world.name)
def test_no_byte_of_a_world_has_changed(world: World) -> None:
    digest = hashlib.sha256()
    for split in ("train", "test"):
        for p in world.problems(split, arithmetic.SIZES[split]):
            values = (p.id, p.question, p.answer, p.benchmark, p.split, p.solution, p.subject, p.level)
            digest.update(repr(values).encode())
            for draw in range(8):
                digest.update(repr(world.solve(p.question, draw)).encode())
    assert digest.hexdigest() == OUTPUTS[world.name]


def test_teachers_have_keys_of_their_own_and_the_first_one_keeps_its_key() -> None:
    name, params, key = teacher_of("arithmetic")
    assert (name, params) == ("arithmetic", {"version": 1})
    found = [teacher_of(world) for world in WORLDS]
    assert [name for name, *_ in found] == ["arithmetic", SLIPS, TRAPS]
    assert len({key for *_, key in found}) == 3
    assert all(is_free(world) and not is_api(world) for world in WORLDS)
    assert key == found[0][2]


@pytest.mark.parametrize(
    ("spec", "name", "split", "label"),
    [
        ("arithmetic", "arithmetic", "train", "arithmetic:train"),
        ("arithmetic:test", "arithmetic", "test", "arithmetic:test"),
        ("arithmetic:confirm", "arithmetic", "confirm", "arithmetic:confirm"),
        (SLIPS, "arithmetic", "train", "arithmetic:train"),
        (f"{SLIPS}:test", "arithmetic", "test", "arithmetic:test"),
        (TRAPS, TRAPS, "train", f"{TRAPS}:train"),
        (f"{TRAPS}:train", TRAPS, "train", f"{TRAPS}:train"),
        (f"{TRAPS}:test", TRAPS, "test", f"{TRAPS}:test"),
        (f"{TRAPS}:confirm", TRAPS, "confirm", f"{TRAPS}:confirm"),
    ],
)
def test_specs_of_problems(spec: str, name: str, split: str, label: str) -> None:
    parsed = parse_spec(spec)
    assert (parsed.name, parsed.split, parsed.path, parsed.label) == (name, split, None, label)
    problems = load_problems(spec, limit=5)
    assert {(problem.benchmark, problem.split) for problem in problems} == {(name, split)}
    assert parse_spec(parsed.label) == parsed, "results name a benchmark by its label"
    assert default_split(name) == "train"
    assert load_problems(spec)[:5] == problems


def test_the_slips_are_in_solutions_of_the_same_problems() -> None:
    assert load_problems(f"{SLIPS}:test") == load_problems("arithmetic:test")
    assert len(load_problems(TRAPS, limit=2100)) == 2100, "as many as asked for are generated"


@pytest.mark.parametrize(
    ("spec", "why", "fix"),
    [
        ("arithmetic:dev", "no split or world `dev`", "arithmetic:test"),
        (f"{SLIPS}:dev", "no split `dev`", f"{SLIPS}:test"),
        (f"{TRAPS}:dev", "no split `dev`", f"{TRAPS}:test"),
        ("arithmetic:plan-trap:test", "no world `arithmetic:plan-trap`", f"did you mean `{TRAPS}:test`?"),
        ("arithmetic:test:plan-traps", "no world `arithmetic:test`", "known: "),
        (f"{TRAPS}:test:train", f"no world `{TRAPS}:test`", "known: "),
        (f"{TRAPS}:test@file", "is generated", f"write {TRAPS}:test"),
        ("arithmetic@file", "is generated", "write arithmetic"),
    ],
)
def test_bad_specs_of_problems(spec: str, why: str, fix: str) -> None:
    with pytest.raises(UsageError) as error:
        load_problems(spec)
    assert f"`{spec.partition('@')[0]}" in error.value.what
    assert why in error.value.why
    assert fix in error.value.fix
    assert "\n" not in error.value.what + error.value.why + error.value.fix


@pytest.mark.parametrize("spec", ["arithmetic:test", f"{TRAPS}:train", "arithmetic:plan-trap", "arithmetic:/path"])
def test_bad_specs_of_teachers(spec: str) -> None:
    for make in (make_teacher, lambda spec, _: default_problems(Recipe(teacher=TeacherConfig(spec=spec)))):
        with pytest.raises(UsageError) as error:
            make(spec, TeacherConfig())
        assert error.value.what == f"unknown teacher `{spec}`"
        assert f"known: arithmetic, {SLIPS}, {TRAPS}" in error.value.fix


def test_a_teacher_solves_the_problems_of_its_world_only() -> None:
    (sum_problem,), (trap,) = load_problems("arithmetic", limit=1), load_problems(TRAPS, limit=1)
    for spec, problem, other in (
        ("arithmetic", sum_problem, trap),
        (SLIPS, sum_problem, trap),
        (TRAPS, trap, sum_problem),
    ):
        draws, failed = answers(spec, problem, 8)
        assert [(draw.teacher, draw.problem_id, draw.index) for draw in draws] == [
            (spec, problem.id, index) for index in range(8)
        ]
        assert not failed
        draws, failed = answers(spec, other, 8)
        assert not draws
        assert len(failed) == 1
        assert "not one of the" in failed[0] or "not a sentence of" in failed[0]
    assert [draw.text for draw in answers("arithmetic", sum_problem, 20)[0]] != [
        draw.text for draw in answers(SLIPS, sum_problem, 20)[0]
    ]


@pytest.mark.parametrize("world", [SLIPS, TRAPS])
def test_the_teacher_of_a_world_takes_its_problems(world: str) -> None:
    assert default_problems(Recipe(teacher=TeacherConfig(spec=world))) == f"{world}:train"


def test_worlds_are_not_checked_for_overlap() -> None:
    recipe = Recipe.model_validate({"evaluation": {"benchmarks": [f"{TRAPS}:test", f"{SLIPS}:test"]}})
    assert find_leaks(recipe, load_problems(TRAPS, limit=20)).by_benchmark == ()


def test_a_slice_selects_problems_by_position() -> None:
    confirm = load_problems("arithmetic:confirm")
    assert load_problems("arithmetic:confirm[200:]") == confirm[200:]
    assert load_problems("arithmetic:confirm[200:]", limit=3) == confirm[200:203]
    assert load_problems("arithmetic:confirm[:5]", limit=9) == confirm[:5]
    assert load_problems(f"{TRAPS}[1:3]") == load_problems(TRAPS, limit=3)[1:]
    labels = [parse_spec(f"arithmetic:confirm{part}").label for part in ("[200:]", "[:5]", "[1:3]", "[:]", "[0:]")]
    confirm_label = "arithmetic:confirm"
    assert labels == [f"{confirm_label}{part}" for part in ("[200:]", "[:5]", "[1:3]", "", "")]


def test_a_slice_precedes_the_path(tmp_path: Path) -> None:
    path = tmp_path / "mine[1:2].jsonl"
    path.write_text("".join(f'{{"question": "What is {n}?", "answer": "{n}"}}\n' for n in range(5)))
    assert [problem.answer for problem in load_problems(f"jsonl[1:3]@{path}")] == ["1", "2"]
    assert len(load_problems(f"jsonl@{path}")) == 5
    with pytest.raises(NsadError, match="at most 5 problems"):
        load_problems(f"jsonl[5:]@{path}")


@pytest.mark.parametrize(
    "part", ["[3:3]", "[4:3]", "[-5:]", "[:0]", "[5]", "[1:2:3]", "[a:]", "[1:2", "[1:2]x", "[:" + "9" * 10]
)
def test_an_invalid_slice_is_named(part: str) -> None:
    with pytest.raises(UsageError, match="invalid slice in"):
        parse_spec(f"arithmetic:test{part}")
