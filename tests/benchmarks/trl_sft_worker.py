"""TRL's side of `tests.benchmarks.trl_sft`: trains a LoRA on tokenised sequences as often as it is asked.

It runs in TRL's own environment, where this project is not installed. Its argument is a JSON file with the model's
folder, the settings, and sequences of token ids with the length of their prompt; it reads requests from stdin, one JSON
object a line, and prints one line with the seconds of `SFTTrainer.train` for each.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

PADDED_SEQUENCES = 4
"""Sequences that are padded to the longest of them and computed together."""
PACKED_LENGTH = 1024
"""The length of packed rows; a step has as many of them as hold its sequences on average."""


def train(
    folder: str, settings: dict[str, Any], sequences: list[tuple[list[int], int]], request: dict[str, Any]
) -> float:
    """Train one new adapter for one epoch.

    Returns:
        The seconds of `SFTTrainer.train`.
    """
    dtype = getattr(torch, request["dtype"])
    rows = {
        "input_ids": [ids for ids, _ in sequences],
        "labels": [[-100] * prompt + ids[prompt:] for ids, prompt in sequences],
    }
    variant: dict[str, Any]
    if request["packing"]:
        per_step = settings["batch_size"] * sum(len(ids) for ids, _ in sequences) / len(sequences)
        rows_per_step = max(1, round(per_step / PACKED_LENGTH))
        variant = {"packing": True, "per_device_train_batch_size": 1, "max_length": PACKED_LENGTH}
        variant |= {"gradient_accumulation_steps": rows_per_step}
    else:
        steps = settings["batch_size"] // PADDED_SEQUENCES
        variant = {"per_device_train_batch_size": PADDED_SEQUENCES, "gradient_accumulation_steps": steps}
        variant |= {"max_length": None}
    with tempfile.TemporaryDirectory() as output:
        trainer = SFTTrainer(
            AutoModelForCausalLM.from_pretrained(folder, dtype=dtype),
            args=SFTConfig(
                output_dir=output,
                num_train_epochs=1,
                learning_rate=settings["learning_rate"],
                lr_scheduler_type="linear",
                warmup_steps=1,
                logging_steps=1,
                bf16=dtype is torch.bfloat16 and request["autocast"],
                gradient_checkpointing=False,
                use_cpu=True,
                report_to=[],
                disable_tqdm=True,
                **variant,
            ),
            train_dataset=Dataset.from_dict(rows),
            processing_class=AutoTokenizer.from_pretrained(folder),
            peft_config=LoraConfig(
                r=settings["r"],
                lora_alpha=settings["alpha"],
                lora_dropout=settings["dropout"],
                target_modules=settings["targets"],
                task_type="CAUSAL_LM",
            ),
        )
        started = time.perf_counter()
        trainer.train()
        return time.perf_counter() - started


def serve(path: Path) -> None:
    """Answer requests until stdin ends."""
    job = json.loads(path.read_text())
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        sequences = [job["sequences"][index] for index in request["indices"]]
        print(train(job["folder"], job["settings"], sequences, request), file=answers, flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
