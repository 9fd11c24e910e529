"""Teachers: where rationales come from. A spec is a scheme with a path, `arithmetic`, or a model's name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nsad_cli.errors import UsageError
from nsad_cli.teachers.base import Teacher
from nsad_cli.utils.files import file_stamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from nsad_cli.config.schema import TeacherConfig

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
        return local_teacher(scheme, path, settings)
    from nsad_cli.teachers.openai import OpenAITeacher

    return OpenAITeacher(spec, settings)


def local_teacher(scheme: str, path: str, settings: TeacherConfig) -> Teacher:
    """Make the teacher; its model is loaded when it is first asked.

    Raises UsageError for a scheme without a path, NsadError where vLLM is asked for and not installed.
    """
    if not path:
        raise UsageError(f"the teacher `{scheme}:` has no model", "no path stands after the colon", f"{scheme}:PATH")
    if scheme == "hf":
        from nsad_cli.teachers.local import HfTeacher

        return HfTeacher(path, settings)
    from nsad_cli.generation.vllm_process import require_vllm

    require_vllm("the teacher", "use hf:PATH, or a server with --base-url")
    from nsad_cli.teachers.vllm import VllmTeacher

    return VllmTeacher(path, settings)
