"""Teachers: sources of rationales. A teacher's spec is a scheme with a path, `arithmetic`, or a model's name."""

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
    """Return a stamp that changes with a recorded teacher's files; empty for other teachers."""
    scheme, _, path = spec.partition(":")
    return file_stamp(Path(path).expanduser()) if scheme in RECORDED else []


def labels_of(teacher: Teacher) -> dict[tuple[str, int], bool]:
    """Return the labels in a recorded teacher's file, by problem id and draw number: True for D+, False for D−."""
    return dict(getattr(teacher, "labels", {}))


def make_teacher(spec: str, settings: TeacherConfig, *, on_corrupt: Callable[[str], None] = lambda _: None) -> Teacher:
    """Make the teacher of a spec.

    Args:
        spec: Only known prefixes are schemes, so `ft:gpt-4o:x` is a model's name.
        settings: The recipe's settings.
        on_corrupt: Receives a note for each row of a recording that cannot be read.

    Raises:
        UsageError: The spec or the settings are not valid.
        NsadError: Its file, model, key or server is missing.
    """
    scheme, _, path = spec.partition(":")
    if settings.batch and (spec == "arithmetic" or scheme in SCHEMES or len(settings.base_url) > 1):
        raise UsageError(
            f"the teacher `{spec}` does not support batches",
            "only OpenAI's API, or one server that is compatible with it, has a batch API",
            "omit --batch (or pass --no-batch if the run's recipe sets teacher.batch)",
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
    """Make a teacher that runs on this machine; its model is loaded when the first draws are requested.

    Raises:
        UsageError: The scheme has no path.
        NsadError: vLLM is not installed.
    """
    if not path:
        raise UsageError(f"the teacher `{scheme}:` has no model", "there is no path after the colon", f"{scheme}:PATH")
    if scheme == "hf":
        from nsad_cli.teachers.local import HfTeacher

        return HfTeacher(path, settings)
    from nsad_cli.generation.vllm_process import require_vllm

    require_vllm("the teacher", "use hf:PATH, or a server with --base-url")
    from nsad_cli.teachers.vllm import VllmTeacher

    return VllmTeacher(path, settings)
