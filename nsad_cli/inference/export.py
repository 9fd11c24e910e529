"""Export of a run's models: the NCE student as a plain transformers folder, LoRAs for PEFT, NAT for vLLM."""

from __future__ import annotations

import json
import shlex
import shutil
from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import STUDENT
from nsad_cli.errors import NsadError
from nsad_cli.generation.model_folders import max_lora_rank, save_model, save_nat
from nsad_cli.models.nat.adapter_export import merge_adapter
from nsad_cli.models.nat.adapter_files import CONFIG, WEIGHTS
from nsad_cli.models.student import resolve
from nsad_cli.runs.models import prompt_of, require_model
from nsad_cli.utils.files import new_folder
from nsad_cli.utils.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.inference.session import Session

NOTES = "nsad.json"
"""The file in an exported folder that describes the model's prompt and origin."""


def export_merged(session: Session, folder: Path) -> dict[str, Any]:
    """Write the merged student as a model folder, in the dtype it runs in here.

    The generation config is the run's own: greedy, with the run's stop tokens and maximum length.

    Args:
        session: The run's session.
        folder: The folder to create.

    Returns:
        The content of nsad.json.

    Raises:
        NsadError: The run has no NCE student, the adapter cannot be merged, or the folder is not empty or cannot be
            written.
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
    """Write a LoRA as a folder that stock PEFT and vLLM load.

    Args:
        session: The run's session.
        folder: The folder to create.
        name: The adapter.
        **more: Additional entries of nsad.json.

    Returns:
        The content of nsad.json.

    Raises:
        NsadError: The run has not trained the adapter, or the folder is not empty or cannot be written.
    """
    require_model(session.run, name)
    source = session.run.adapter_path(name)
    missing = [file for file in (CONFIG, WEIGHTS) if not (source / file).is_file()]
    if missing:
        raise NsadError(
            f"{source} contains no usable adapter", f"{missing[0]} is missing", "train that stage again with --force"
        )
    notes = _notes(session, name, "lora", **more)
    with new_folder(folder) as temporary:
        for file in (CONFIG, WEIGHTS):
            shutil.copyfile(source / file, temporary / file)
        _write(temporary, notes)
    return notes


def export_for_vllm(session: Session, folder: Path, name: str) -> dict[str, Any]:
    """Write a model of the run as a folder for `vllm serve`.

    A NAT adapter is written as a model folder with the base's weights, in the dtype it runs in here, and the adapter's
    tensors (models/nat/serving.py), which nsad's vLLM plugin reads. A LoRA is written as a PEFT folder.

    Args:
        session: The run's session.
        folder: The folder to create.
        name: The model.

    Returns:
        The content of nsad.json; `serve` is the command that serves the folder.

    Raises:
        NsadError: The run has not trained the model, vLLM cannot compute it, or the folder is not empty or cannot be
            written.
    """
    require_model(session.run, name)
    path = shlex.quote(str(folder.expanduser().resolve()))
    dtype = _dtype(session)
    session.load(name)
    if not session.adapters.is_nat(name):
        base, revision = resolve(session.recipe.student.model)
        at = f" --revision {revision}" if revision else ""
        lora = f"--enable-lora --max-lora-rank {max_lora_rank(session.run.adapter_path(name))}"
        options = _serve_options(session.recipe.student.model, dtype)
        serve = f"vllm serve {shlex.quote(base)}{at} {options} {lora} --lora-modules {name}={path}"
        return export_lora(session, folder, name, serve=serve)
    with new_folder(folder) as temporary:
        notes = _notes(session, name, "vllm", dtype=dtype, serve=f"vllm serve {path} {_serve_options(name, dtype)}")
        save_nat(session.student, session.adapters, name, temporary, session.recipe.sampling.max_new_tokens)
        _write(temporary, notes)
    return notes


def _serve_options(name: str, dtype: str) -> str:
    """Return options of `vllm serve`: the model name that `--engine server@URL` requests, the dtype, vLLM's defaults.

    Without --generation-config vllm, the base's generation_config.json applies to fields that a request omits.
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
        **{key: value for key, value in prompt_of(recipe, name).items() if key == "label"},
        "weights": session.model_key(name),
        "sampling": recipe.sampling.model_dump(exclude={"batch_size", "engine"}),
        **more,
    }


def _write(folder: Path, notes: dict[str, Any]) -> None:
    (folder / NOTES).write_text(json.dumps(notes, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
