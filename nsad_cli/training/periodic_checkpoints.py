"""Checkpoints against crashes: one every few minutes, however rarely the held-out loss is measured."""

from __future__ import annotations

import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from nsad_cli.utils.distributed import any_process, is_main_process

CHECKPOINT_SECONDS = 600.0
"""The most training time that a crash can lose; shorter stages have the checkpoints of their checks alone."""


class PeriodicCheckpoints(TrainerCallback):
    """Requests a checkpoint after the step at which the last one is CHECKPOINT_SECONDS old, by the main process."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def on_train_begin(
        self,
        args: TrainingArguments,  # noqa: ARG002  # transformers' interface
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,  # noqa: ARG002
        **_: Any,
    ) -> None:
        """Start the clock."""
        self._last = time.monotonic()

    def on_save(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,  # noqa: ARG002
        **_: Any,
    ) -> None:
        """Restart the clock."""
        self._last = time.monotonic()

    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,
        **_: Any,
    ) -> TrainerControl:
        """Request a checkpoint if one is due; all processes save at the same step."""
        if any_process(is_main_process() and time.monotonic() - self._last >= CHECKPOINT_SECONDS):
            control.should_save = True
        return control
