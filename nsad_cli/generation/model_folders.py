"""Model folders for other programs: plain transformers models, and NAT with its base for vLLM."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from transformers import GenerationConfig

from nsad_cli.errors import NsadError
from nsad_cli.models.nat.adapter_export import served_adapter
from nsad_cli.models.nat.adapter_files import CONFIG
from nsad_cli.models.nat.serving import METHOD, VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.models.nat.adapters import Adapters
    from nsad_cli.models.student import Student

LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM accepts for --max-lora-rank."""


def save_model(student: Student, model: Any, folder: Path, max_new_tokens: int, **more: Any) -> None:
    """Write a model with the student's tokenizer.

    The generation config is the run's: greedy, with the student's stop tokens and max_new_tokens. The base's own
    settings are dropped, because a repetition penalty, for example, would give other answers.

    Args:
        student: The student.
        model: The model to write.
        folder: The folder.
        max_new_tokens: The maximum number of new tokens.
        **more: Further arguments of save_pretrained.

    Raises:
        OSError: Writing fails.
    """
    stop = sorted(student.stop_ids)
    model.generation_config = GenerationConfig(
        bos_token_id=student.tokenizer.bos_token_id,
        eos_token_id=stop if len(stop) > 1 else stop[0],
        pad_token_id=student.pad_id,
        do_sample=False,
        max_new_tokens=max_new_tokens,
    )
    try:
        model.save_pretrained(folder, **more)
        student.tokenizer.save_pretrained(folder)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def save_nat(student: Student, adapters: Adapters, name: str, folder: Path, max_new_tokens: int) -> None:
    """Write a NAT adapter and its base, in the base's dtype, as a folder that nsad's plugin for vLLM reads.

    All adapters are removed from memory.

    Raises:
        NsadError: vLLM cannot compute the adapter.
        OSError: Writing fails.
    """
    tensors = served_adapter(adapters, name)
    base = adapters.remove_all()
    save_model(student, base, folder, max_new_tokens, state_dict={**base.state_dict(), **tensors})
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["quantization_config"] = {"quant_method": METHOD, "version": VERSION, "tensors": len(tensors)}
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def max_lora_rank(folder: Path) -> int:
    """Return the smallest rank in LORA_RANKS that fits the LoRA of a PEFT folder.

    Raises:
        NsadError: The rank exceeds all of them.
    """
    rank = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["r"]
    found = next((supported for supported in LORA_RANKS if supported >= rank), None)
    if found is None:
        raise NsadError(
            "vLLM cannot serve this LoRA",
            f"its rank is {rank}, and vLLM supports at most {LORA_RANKS[-1]}",
            "export it merged: nsad export FOLDER",
        )
    return found
