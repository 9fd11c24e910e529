"""A run's models for use elsewhere: the NCE student as a plain transformers folder, LoRAs for PEFT, NAT for vLLM."""

from __future__ import annotations

import json
import shlex
import shutil
from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import STUDENT
from nsad_cli.errors import NsadError
from nsad_cli.generation.model_folders import lora_room, save_model, save_nat
from nsad_cli.models.nat.adapter_export import merge_adapter
from nsad_cli.models.nat.adapter_files import CONFIG, WEIGHTS
from nsad_cli.models.student import resolve
from nsad_cli.runs.models import require_model
from nsad_cli.utils.files import new_folder
from nsad_cli.utils.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.inference.session import Session

NOTES = "nsad.json"
"""How to prompt the model, and where it comes from."""


def export_merged(session: Session, folder: Path) -> dict[str, Any]:
    """Write the student as a model folder of its own, in the dtype that it runs in here; returns what nsad.json says.

    The generation config says what the run does: greedy, to the run's end tokens and length. Raises NsadError where
    the run has no NCE student, it cannot be merged, or the folder is not empty or cannot be written.
    """
    require_model(session.run, STUDENT.name)
    with new_folder(folder) as temporary:
        session.load(STUDENT.name)
        student = session.student
        notes = _notes(session, STUDENT.name, "merged", dtype=_dtype(session))
        model = merge_adapter(session.adapters, STUDENT.name)
        save_model(student, model, temporary, session.recipe.sampling.max_new_tokens)
        _write(temporary, notes)
    return notes


def export_lora(session: Session, folder: Path, name: str = STUDENT.name, **more: Any) -> dict[str, Any]:
    """Write a LoRA as a folder that stock PEFT loads, and vLLM; returns what nsad.json says, `more` among it.

    Raises NsadError where the run has not trained it, or the folder is not empty or cannot be written.
    """
    require_model(session.run, name)
    source = session.run.adapter_path(name)
    missing = [file for file in (CONFIG, WEIGHTS) if not (source / file).is_file()]
    if missing:
        raise NsadError(
            f"{source} holds no usable adapter", f"{missing[0]} is missing", "train that stage again with --force"
        )
    notes = _notes(session, name, "lora", **more)
    with new_folder(folder) as temporary:
        for file in (CONFIG, WEIGHTS):
            shutil.copyfile(source / file, temporary / file)
        _write(temporary, notes)
    return notes


def export_for_vllm(session: Session, folder: Path, name: str) -> dict[str, Any]:
    """Write a model of the run as vLLM serves it; returns what nsad.json says, `serve` being the command.

    A NAT adapter becomes a model folder with the base's weights, in the dtype that it runs in here, and its own tensors
    (nat/served.py), which nsad's plugin for vLLM reads. A LoRA is one for vLLM too. Raises NsadError where the run has
    not trained it, vLLM could not compute it, or the folder is not empty or cannot be written.
    """
    require_model(session.run, name)
    path = shlex.quote(str(folder.expanduser().resolve()))
    dtype = _dtype(session)
    session.load(name)
    if not session.adapters.is_nat(name):
        base, revision = resolve(session.recipe.student.model)
        at = f" --revision {revision}" if revision else ""
        room = f"--enable-lora --max-lora-rank {lora_room(session.run.adapter_path(name))}"
        called = _called(session.recipe.student.model, dtype)
        serve = f"vllm serve {shlex.quote(base)}{at} {called} {room} --lora-modules {name}={path}"
        return export_lora(session, folder, name, serve=serve)
    with new_folder(folder) as temporary:
        notes = _notes(session, name, "vllm", dtype=dtype, serve=f"vllm serve {path} {_called(name, dtype)}")
        save_nat(session.student, session.adapters, name, temporary, session.recipe.sampling.max_new_tokens)
        _write(temporary, notes)
    return notes


def _called(name: str, dtype: str) -> str:
    """Options of `vllm serve`: the name that `--engine server@URL` asks for, and none of the base's sampling settings.

    Without the last one vLLM applies the base's generation_config.json to whatever a request leaves out.
    """
    return f"--served-model-name {shlex.quote(name)} --dtype {dtype} --generation-config vllm"


def _dtype(session: Session) -> str:
    return str(session.student.model.dtype).removeprefix("torch.")


def _notes(session: Session, name: str, kind: str, **more: Any) -> dict[str, Any]:
    recipe = session.recipe
    return {
        "nsad": __version__,
        "kind": kind,
        "run": session.run.name,
        "model": name,
        "student": recipe.student.model,
        "template": recipe.student.template,
        "weights": session.model_key(name),
        "sampling": recipe.sampling.model_dump(exclude={"batch_size"}),
        **more,
    }


def _write(folder: Path, notes: dict[str, Any]) -> None:
    (folder / NOTES).write_text(json.dumps(notes, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
