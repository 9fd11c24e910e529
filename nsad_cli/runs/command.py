"""The command of this process as typed: runs record it, and messages print it to resume."""

from __future__ import annotations

import contextlib
import os
import shlex
from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import EVAL, EVAL_BEFORE, RUN_ORDER, STUDENT, table_entry
from nsad_cli.utils.api_keys import redact_argument
from nsad_cli.utils.distributed import world_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROGRAM = "nsad"
WHOLE = ("run", "demo")
"""Commands that run all of RUN_ORDER."""
STUDY = "study"
"""The command whose runs train one model each, and end with its evaluation."""
SECRET_OPTION = "--api-key"
AGAIN = "run the same command again"
"""What to do to resume if the command is unknown."""
_current: list[dict[str, Any]] = []


def set_command(arguments: Sequence[str]) -> None:
    """Set this process's command: the program's arguments. Secrets in them are replaced by `***`."""
    _current[:] = []
    if world_size() == 1:  # a launcher's own command is not known
        record: dict[str, Any] = {"argv": _redacted(arguments)}
        with contextlib.suppress(OSError):  # a deleted folder
            record["folder"] = os.getcwd()
        _current.append(record)


def _redacted(arguments: Sequence[str]) -> list[str]:
    """Return arguments with `***` in place of secrets and of every value of SECRET_OPTION."""
    found: list[str] = []
    for before, item in zip(("", *arguments), arguments, strict=False):
        if before == SECRET_OPTION:
            found.append("***")
        elif item.startswith(f"{SECRET_OPTION}="):
            found.append(f"{SECRET_OPTION}=***")
        else:
            found.append(redact_argument(item))
    return found


def command() -> dict[str, Any] | None:
    """Return this process's command as runs record it: `argv`, and the working folder; None outside of the program."""
    return _current[0] if _current else None


def command_line(record: Any) -> str | None:
    """Return the shell command of a record, to be typed in its folder; None if it is not known, or had a secret."""
    if not isinstance(record, dict) or not isinstance(record.get("argv"), list):
        return None
    if any("***" in str(item) for item in record["argv"]):
        return None
    return " ".join([PROGRAM, *(_quote(str(item)) for item in record["argv"])])


def resume_hint() -> str:
    """Say how to resume this process's command."""
    line = command_line(command())
    return f"to resume: {line}" if line else f"{AGAIN} to resume"


def resume_command(name: str, manifest: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the shell command that continues a run that has not finished, and its folder; None for what is not known.

    That is the command whose stage has not finished; else the one that created the run, if it runs all stages; else the
    command of the next stage.
    """
    stages = manifest["stages"]
    last = max(stages, key=lambda stage: stages[stage].get("started", 0), default=None)
    if last is not None and stages[last]["state"] != "finished":
        return _line_and_folder(stages[last].get("command"))
    created = manifest.get("command")
    if _is_whole(created) or name_of(created) == STUDY:
        return _line_and_folder(created)
    left = [stage for stage in unfinished_stages(manifest) if stage != EVAL_BEFORE.name]
    if last is None or not left:
        return None, None
    return f"{table_entry(left[0]).command_line} --run {shlex.quote(name)}", None


def unfinished_stages(manifest: Mapping[str, Any]) -> list[str]:
    """Return the stages of a run's pipeline that have not finished.

    The pipeline ends with the evaluation if one command runs all stages, and with the student if each stage has its
    own command, because evaluations are then optional. A run of a study always ends with its evaluation.
    """
    stages = manifest["stages"]
    if name_of(manifest.get("command")) == STUDY:
        return [] if stages.get(EVAL.name, {}).get("state") == "finished" else [EVAL.name]
    whole = _is_whole(manifest.get("command")) or EVAL_BEFORE.name in stages
    wanted = RUN_ORDER if whole else RUN_ORDER[: RUN_ORDER.index(STUDENT.name) + 1]
    skipped = () if whole else (EVAL_BEFORE.name,)
    return [name for name in wanted if name not in skipped and stages.get(name, {}).get("state") != "finished"]


def _line_and_folder(record: Any) -> tuple[str | None, str | None]:
    line = command_line(record)
    return line, str(record["folder"]) if line is not None and "folder" in record else None


def _is_whole(record: Any) -> bool:
    return name_of(record) in WHOLE


def command_with_run(record: Any, run: str) -> Any:
    """Return a recorded command with another `--run`."""
    if not isinstance(record, dict) or not isinstance(record.get("argv"), list):
        return record
    argv, kept = [str(item) for item in record["argv"]], list[str]()
    for before, item in zip(("", *argv), argv, strict=False):
        if before != "--run" and item != "--run" and not item.startswith("--run="):
            kept.append(item)
    return {**record, "argv": [*kept, "--run", run]}


def name_of(record: Any) -> str | None:
    """Return the name of a recorded command, such as `run`."""
    argv = record.get("argv", []) if isinstance(record, dict) else []
    return next((str(item) for item in argv if not str(item).startswith("-")), None)


def _quote(argument: str) -> str:
    """Quote an argument for a POSIX shell; one with control characters for bash and zsh, on one line."""
    if argument.isprintable():
        return shlex.quote(argument)
    return "$'" + "".join(_escape(char) for char in argument) + "'"


def _escape(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\U{code:08x}"
