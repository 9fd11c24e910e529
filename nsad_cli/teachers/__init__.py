"""Teachers: sources of rationales. A teacher's spec is a scheme with a path, a built-in world, or a model's name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nsad_cli.config.plugins import TEACHERS, load_plugin, plugin_names
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.problems.worlds import GENERATED, teacher_world
from nsad_cli.teachers.base import Teacher
from nsad_cli.utils.files import file_stamp

if TYPE_CHECKING:
    from nsad_cli.config.schema import TeacherConfig

__all__ = ["RECORDED", "Teacher", "is_api", "is_free", "labels_of", "make_teacher", "source_stamp"]

RECORDED = ("tdg", "gsm8k-solutions", "jsonl")
LOCAL = ("hf", "vllm")


def scheme_of(spec: str) -> str | None:
    """Return the part of a spec before its colon if it is a known scheme; None for a model's name (`ft:gpt-4o:x`)."""
    scheme = spec.partition(":")[0]
    return scheme if scheme in (GENERATED, *RECORDED, *LOCAL, *plugin_names(TEACHERS)) else None


def is_free(spec: str) -> bool:
    """Whether a teacher's samples are available at once: it is built in or recorded."""
    return scheme_of(spec) in (GENERATED, *RECORDED)


def is_api(spec: str) -> bool:
    """Whether a teacher is a model behind an OpenAI-compatible API, which may cost money."""
    return scheme_of(spec) is None


def source_stamp(spec: str) -> list[tuple[str, int, int]]:
    """Return a stamp that changes with a recorded teacher's files; empty for other teachers."""
    scheme, _, path = spec.partition(":")
    return file_stamp(Path(path).expanduser()) if scheme in RECORDED else []


def labels_of(teacher: Teacher) -> dict[tuple[str, int], bool]:
    """Return the labels in a recorded teacher's file, by problem id and draw number: True for D+, False for D−."""
    return dict(getattr(teacher, "labels", {}))


def make_teacher(spec: str, settings: TeacherConfig) -> Teacher:
    """Make the teacher of a spec.

    Args:
        spec: a scheme with a path (SCHEME:PATH), a built-in world (`arithmetic[:WORLD]`), or a model's name. Only known
            prefixes are schemes: built-in ones, and the names of entry points in the group `nsad.teachers`.
        settings: the recipe's settings.

    Raises:
        UsageError: the spec or the settings are not valid.
        NsadError: its file, model, key or server is missing.
    """
    scheme, path = scheme_of(spec), spec.partition(":")[2]
    if settings.batch and (scheme is not None or len(settings.base_url) > 1):
        raise UsageError(
            f"the teacher `{spec}` does not support batches",
            "only OpenAI's API, or one server that is compatible with it, has a batch API",
            "omit --batch (or pass --no-batch if the run's recipe sets teacher.batch)",
        )
    if scheme is None:
        from nsad_cli.teachers.openai import OpenAITeacher

        return OpenAITeacher(spec, settings)
    if scheme == GENERATED:
        from nsad_cli.teachers.arithmetic import ArithmeticTeacher

        return ArithmeticTeacher(teacher_world(spec))
    if scheme in RECORDED:
        from nsad_cli.teachers.recorded import RecordedTeacher

        return RecordedTeacher(scheme, Path(path).expanduser())
    if scheme in LOCAL:
        return _local_teacher(scheme, path, settings)
    return _plugin_teacher(scheme, path, settings)


def _local_teacher(scheme: str, path: str, settings: TeacherConfig) -> Teacher:
    """Make a teacher that runs on this machine; its model is loaded when the first draws are requested."""
    if not path:
        raise UsageError(f"the teacher `{scheme}:` has no model", "there is no path after the colon", f"{scheme}:PATH")
    if scheme == "hf":
        from nsad_cli.teachers.local import HfTeacher

        return HfTeacher(path, settings)
    from nsad_cli.generation.vllm_process import require_vllm

    require_vllm("the teacher", "use hf:PATH, or a server with --base-url")
    from nsad_cli.teachers.vllm import VllmTeacher

    return VllmTeacher(path, settings)


def _plugin_teacher(scheme: str, path: str, settings: TeacherConfig) -> Teacher:
    make = load_plugin(TEACHERS, scheme)
    if not callable(make):
        raise NsadError(
            f"the teacher `{scheme}` cannot be used",
            "its plugin cannot be loaded, or is no function of a path and the teacher's settings",
            "see the warning above, or uninstall the package",
        )
    teacher: Teacher = make(path, settings)
    return teacher
