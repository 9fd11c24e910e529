"""Architectures of models whose config is known without the Hub, so that plans need no download."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, T5Config, T5EncoderModel

from nsad_cli.errors import NsadError, first_line
from nsad_cli.models.student import DTYPES, Student

CHARS_PER_TOKEN = 2.2
"""Assumed without a tokenizer: GPT-3.5's rationales for MATH have 2.2 by SmolLM2's, which splits digits as LLaMA's."""
_LLAMA_7B: dict[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "max_position_embeddings": 2048,
}
STUDENTS = {
    "huggyllama/llama-7b": _LLAMA_7B,
    "yahma/llama-7b-hf": _LLAMA_7B,
    "meta-llama/Llama-2-7b-hf": {**_LLAMA_7B, "max_position_embeddings": 4096},
}
"""Known students by Hub id; all are LLaMA models."""
_T5: dict[str, Any] = {"vocab_size": 32128, "d_kv": 64, "feed_forward_proj": "gated-gelu"}
ENCODERS = {
    "google/flan-t5-base": {**_T5, "d_model": 768, "d_ff": 2048, "num_layers": 12, "num_heads": 12},
    "google/flan-t5-large": {**_T5, "d_model": 1024, "d_ff": 2816, "num_layers": 24, "num_heads": 16},
    "google/flan-t5-xl": {**_T5, "d_model": 2048, "d_ff": 5120, "num_layers": 24, "num_heads": 32},
}
"""Known encoders of rankers by Hub id."""


class AssumedTokenizer:
    """A replacement for a missing tokenizer; only the number of tokens is meaningful."""

    eos_token_id = 0
    pad_token_id = None

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        """Return one id for every CHARS_PER_TOKEN characters."""
        return {"input_ids": [0] * math.ceil(len(text) / CHARS_PER_TOKEN)}

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        """Return the messages' texts."""
        return "\n".join(message["content"] for message in messages)


def student_without_files(spec: str, dtype: str, template: str, cause: NsadError) -> Student:
    """Build a student on the meta device from its config alone.

    Args:
        spec: A folder with config.json, or a Hub id of STUDENTS.
        dtype: The dtype of its weights; `auto` means bfloat16.
        template: The prompt template.
        cause: Why the student could not be loaded with its tokenizer.

    Returns:
        The student, with an AssumedTokenizer.

    Raises:
        NsadError: The config is neither known nor readable.
    """
    folder, name = Path(spec).expanduser(), spec.partition("@")[0]
    try:
        known = LlamaConfig(**STUDENTS[name]) if name in STUDENTS else None
        config = known or AutoConfig.from_pretrained(folder if folder.is_dir() else spec, local_files_only=True)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=DTYPES.get(dtype, torch.bfloat16))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
        why = cause.what if isinstance(error, OSError) else first_line(error)
        raise NsadError(
            f"the config of the student `{spec}` cannot be read",
            why,
            f"give a folder with config.json, or one of the known students: {', '.join(STUDENTS)}",
        ) from cause
    return Student(model, AssumedTokenizer(), spec, template)


def known_encoder(spec: str) -> T5EncoderModel | None:
    """Return a known encoder on the meta device; None if it is not in ENCODERS."""
    name = spec.partition("@")[0]
    if name not in ENCODERS:
        return None
    with torch.device("meta"):
        return T5EncoderModel(T5Config(**ENCODERS[name]))
