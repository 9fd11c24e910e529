"""`nsad init`: write a new recipe with comments."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nsad_cli.cli import completions
from nsad_cli.cli.console import print_json
from nsad_cli.cli.options import AsJson
from nsad_cli.utils.logs import note


def init(
    path: Annotated[Path, typer.Argument(metavar="[FILE]", help="The file to write; it must not exist.")] = Path(
        "recipe.yaml"
    ),
    teacher: Annotated[
        str | None,
        typer.Option("--teacher", help="The teacher; see `nsad help collect`.", autocompletion=completions.teachers),
    ] = None,
    problems: Annotated[
        str | None,
        typer.Option(
            "--problems",
            metavar="NAME[:SPLIT][@PATH]",
            help="The training problems. Default: the teacher's own.",
            autocompletion=completions.problem_sets,
        ),
    ] = None,
    student: Annotated[
        str | None, typer.Option("--student", help="The student: smollm2, a folder, or a Hub id[@REVISION].")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a commented recipe: asks for teacher, problems and student, or takes flags."""
    from nsad_cli.config.template import commented_recipe
    from nsad_cli.config.validation import validate_recipe
    from nsad_cli.errors import UsageError
    from nsad_cli.problems import parse_spec
    from nsad_cli.utils.files import write_atomic

    target = path.expanduser()
    if target.exists():
        raise UsageError(f"{path} exists already", "it would be overwritten", "give another FILE")
    teacher = teacher or _ask("Teacher (a model's name, arithmetic, hf:PATH, jsonl:FILE, …)", "arithmetic")
    problems = problems or _ask("Training problems (empty: the teacher's own)", "")
    student = student or _ask("Student (smollm2, a folder, or a Hub id)", "smollm2")
    chosen: dict[str, Any] = {"student.model": student, "teacher.spec": teacher}
    if problems:
        parse_spec(problems)
        chosen["problems.train"] = problems
    sections: dict[str, dict[str, Any]] = {}
    for key, value in chosen.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    validate_recipe(sections, "the answers")
    write_atomic(target, commented_recipe(str(path), chosen))
    if as_json:
        print_json({"recipe": str(target), "settings": chosen})
    else:
        note(f"written: {path}")
        note(f"next: nsad run {path} --plan")


def _ask(question: str, default: str) -> str:
    """Ask on a terminal; elsewhere the default is the answer."""
    return str(typer.prompt(question, default=default, err=True)).strip() if sys.stdin.isatty() else default
