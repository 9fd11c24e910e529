"""A run's NCE student for use elsewhere: merged into a plain transformers folder, or its LoRA as a stock PEFT one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import GenerationConfig

from nsad_cli import __version__
from nsad_cli.errors import NsadError
from nsad_cli.files import new_folder
from nsad_cli.nat.adapters import CONFIG, WEIGHTS
from nsad_cli.session import Session

NOTES = "nsad.json"
"""How to prompt the model, and where it comes from."""
STUDENT = "nce"


def export_merged(session: Session, folder: Path) -> dict[str, Any]:
    """Write the student as a model folder of its own, in the dtype that it runs in here; returns what nsad.json says.

    The generation config says what the run does: greedy, to the run's end tokens and length. Raises NsadError where
    the run has no NCE student, it cannot be merged, or the folder is not empty or cannot be written.
    """
    session.need(STUDENT)
    with new_folder(folder) as temporary:
        session.load(STUDENT)
        student = session.student
        notes = _notes(session, "merged", dtype=str(student.model.dtype).removeprefix("torch."))
        model = session.adapters.merge(STUDENT)
        # The base's own settings are left out: a repetition penalty, say, would give other answers than the run's.
        stop = sorted(student.stop_ids)
        model.generation_config = GenerationConfig(
            bos_token_id=student.tokenizer.bos_token_id,
            eos_token_id=stop if len(stop) > 1 else stop[0],
            pad_token_id=student.pad_id,
            do_sample=False,
            max_new_tokens=session.recipe.sampling.max_new_tokens,
        )
        try:
            model.save_pretrained(temporary)
            student.tokenizer.save_pretrained(temporary)
        except SafetensorError as error:
            raise OSError(str(error)) from error
        _write(temporary, notes)
    return notes


def export_lora(session: Session, folder: Path) -> dict[str, Any]:
    """Write the student's LoRA as a folder that stock PEFT loads; returns what nsad.json says.

    Raises NsadError where the run has no NCE student, or the folder is not empty or cannot be written.
    """
    session.need(STUDENT)
    source = session.run.adapter_path(STUDENT)
    missing = [name for name in (CONFIG, WEIGHTS) if not (source / name).is_file()]
    if missing:
        raise NsadError(
            f"{source} holds no usable adapter", f"{missing[0]} is missing", "train that stage again with --force"
        )
    notes = _notes(session, "lora")
    with new_folder(folder) as temporary:
        for name in (CONFIG, WEIGHTS):
            shutil.copyfile(source / name, temporary / name)
        _write(temporary, notes)
    return notes


def _notes(session: Session, kind: str, **more: Any) -> dict[str, Any]:
    recipe = session.recipe
    return {
        "nsad": __version__,
        "kind": kind,
        "run": session.run.name,
        "student": recipe.student.model,
        "template": recipe.student.template,
        "weights": session.model_key(STUDENT),
        "sampling": recipe.sampling.model_dump(exclude={"batch_size"}),
        **more,
    }


def _write(folder: Path, notes: dict[str, Any]) -> None:
    (folder / NOTES).write_text(json.dumps(notes, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
