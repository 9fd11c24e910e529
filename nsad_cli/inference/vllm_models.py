"""The model that vLLM loads for a model of a run: the base, the base with a LoRA, or a folder with NAT and its base."""

from __future__ import annotations

import dataclasses
import shutil
from typing import TYPE_CHECKING

from nsad_cli.config.stages import UNTRAINED, stages
from nsad_cli.errors import NsadError
from nsad_cli.generation.model_folders import max_lora_rank
from nsad_cli.generation.vllm_process import ModelSettings, require_vllm
from nsad_cli.models.student import resolve
from nsad_cli.runs.base_model import require_intact
from nsad_cli.runs.models import model_key, require_model
from nsad_cli.utils.files import new_folder
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nsad_cli.config.schema import Recipe
    from nsad_cli.models.student import Student
    from nsad_cli.runs.run import Run


def vllm_model(
    run: Run, recipe: Recipe, reader: Student, name: str, write_nat: Callable[[str, Path], None]
) -> ModelSettings:
    """Describe a model of a run for vLLM.

    Args:
        run: The run.
        recipe: Its recipe.
        reader: The student without weights.
        name: The model.
        write_nat: Writes a NAT adapter with its base into a folder; called once per training of the adapter.

    Returns:
        The model as the vLLM process loads it.

    Raises:
        NsadError: vLLM is not installed, the run has not trained the model, or the base is in 4 bits.
    """
    require_vllm("the engine vllm", "use --engine hf")
    if recipe.student.load_in_4bit:
        raise NsadError(
            "the engine vllm does not support a 4-bit base",
            "student.load_in_4bit quantizes with bitsandbytes; vLLM would load other weights and answer differently",
            "use --engine hf",
        )
    source, revision = resolve(recipe.student.model)
    dtype = str(reader.model.dtype).removeprefix("torch.")
    device = recipe.student.device.partition(":")[0]  # the GPU is the only visible one, see select_gpu
    base = ModelSettings(source, revision, device, dtype)
    if name in UNTRAINED:
        return base
    require_model(run, name)
    require_intact(run, recipe, name)
    if stages()[name].companion is not None:
        return dataclasses.replace(base, model=str(_nat_folder(run, recipe, name, write_nat)), revision=None)
    lora = run.adapter_path(name)
    return dataclasses.replace(base, lora=str(lora), lora_rank=max_lora_rank(lora))


def _nat_folder(run: Run, recipe: Recipe, name: str, write_nat: Callable[[str, Path], None]) -> Path:
    folder = run.path / "served" / f"{name}-{model_key(run, recipe, name)}"
    if not folder.is_dir():
        note(f"writing {name} for vLLM (only once) …")
        for old in folder.parent.glob(f"{name}-*"):
            shutil.rmtree(old, ignore_errors=True)
        with new_folder(folder) as temporary:
            write_nat(name, temporary)
    return folder
