"""Conversion of a stage's settings to the arguments of transformers' Trainer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from transformers import TrainingArguments

from nsad_cli.training.step_plan import warmup_steps

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.config.schema import StageConfig


def training_arguments(
    folder: Path,
    settings: StageConfig,
    steps: int,
    seed: int,
    on_cpu: bool,
    bf16: bool,
    evaluate: bool,
    keep_best: bool = True,
    kind: type[TrainingArguments] = TrainingArguments,
    **more: Any,
) -> TrainingArguments:
    """Create the arguments of transformers' Trainer, which evaluates `checks` times, and saves as often if needed.

    Args:
        folder: The folder of the checkpoints.
        settings: The stage's settings.
        steps: The number of steps.
        seed: The seed of the random numbers.
        on_cpu: Whether to train on the CPU.
        bf16: Whether to compute in bfloat16.
        evaluate: Whether there are held-out examples.
        keep_best: Whether the weights of the lowest held-out loss are kept, else those of the last step.
        kind: The class of the arguments.
        **more: Further arguments, or other values of those that are set here.

    Returns:
        The arguments.
    """
    steps_per_check = max(1, math.ceil(steps / settings.checks))
    select = evaluate and keep_best
    values: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": steps,
        "per_device_train_batch_size": 1,
        "learning_rate": settings.learning_rate,
        "warmup_steps": warmup_steps(settings, steps),
        "lr_scheduler_type": "linear",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "seed": seed,
        "bf16": bf16,
        "use_cpu": on_cpu,
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
        "dataloader_pin_memory": not on_cpu,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "eval_strategy": "steps" if evaluate else "no",
        "eval_steps": steps_per_check,
        "save_strategy": "steps",
        "save_steps": steps_per_check if keep_best else steps,  # and see PeriodicCheckpoints
        "save_total_limit": None,  # see keep_newest_and_best
        "load_best_model_at_end": select,
        "metric_for_best_model": "loss" if select else None,
        "greater_is_better": False if select else None,
        "ddp_find_unused_parameters": False,
        "report_to": [],
        "disable_tqdm": True,
    }
    arguments = kind(**{**values, **more})
    arguments._n_gpu = min(1, arguments.n_gpu)  # several GPUs need a launcher; DataParallel is never used
    return arguments
