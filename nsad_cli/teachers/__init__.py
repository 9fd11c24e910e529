"""Teachers: where rationales come from. A spec is a scheme with a path, `arithmetic`, or a model's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nsad_cli.config import TeacherConfig
from nsad_cli.errors import UsageError
from nsad_cli.files import file_stamp
from nsad_cli.teachers.base import Teacher

__all__ = ["RECORDED", "SCHEMES", "Teacher", "labels_of", "make_teacher", "source_stamp"]

RECORDED = ("tdg", "gsm8k-solutions", "jsonl")
SCHEMES = ("hf", "vllm", *RECORDED)


def source_stamp(spec: str) -> list[tuple[str, int, int]]:
    """The stamp of a recorded teacher's files: whether to read them again. Empty for other teachers."""
    scheme, _, path = spec.partition(":")
    return file_stamp(Path(path).expanduser()) if scheme in RECORDED else []


def labels_of(teacher: Teacher) -> dict[tuple[str, int], bool]:
    """Which side each draw of a recorded teacher is of, by problem id and number, where its file says so."""
    return dict(getattr(teacher, "labels", {}))


def make_teacher(spec: str, settings: TeacherConfig, *, on_corrupt: Callable[[str], None] = lambda _: None) -> Teacher:
    """Make the teacher of a spec; only the known prefixes are schemes, so `ft:gpt-4o:x` is a model's name.

    Raises UsageError or NsadError where its file, model, key or server is missing.
    """
    scheme, _, path = spec.partition(":")
    if settings.batch and (spec == "arithmetic" or scheme in SCHEMES or len(settings.base_url) > 1):
        raise UsageError(
            f"the teacher `{spec}` cannot be asked by batches",
            "batches are of OpenAI's API, or of one server that speaks it",
            "leave --batch out (--no-batch, where the run's recipe says teacher.batch)",
        )
    if spec == "arithmetic":
        from nsad_cli.teachers.arithmetic import ArithmeticTeacher

        return ArithmeticTeacher()
    if scheme in RECORDED:
        from nsad_cli.teachers.recorded import RecordedTeacher

        return RecordedTeacher(scheme, Path(path).expanduser(), on_corrupt)
    if scheme in ("hf", "vllm"):
        from nsad_cli.teachers.local import local_teacher

        return local_teacher(scheme, path, settings)
    from nsad_cli.teachers.openai import OpenAITeacher

    return OpenAITeacher(spec, settings)
