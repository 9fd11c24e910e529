"""Ctrl-C and SIGTERM during training: finish the step and write a checkpoint before stopping."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from nsad_cli.utils.distributed import any_process

if TYPE_CHECKING:
    from collections.abc import Iterator


class InterruptCallback(TrainerCallback):
    """Stops training with a checkpoint after the step in which any process was interrupted."""

    def __init__(self) -> None:
        self.interrupted = False

    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002  # transformers' interface
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,
        **_: Any,
    ) -> TrainerControl:
        """Request a checkpoint and the end of training if any process was interrupted."""
        if any_process(self.interrupted):
            self.interrupted = True
            control.should_save = control.should_training_stop = True
        return control

    @contextlib.contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM: the first one stops after the step, a SIGINT after it immediately.

        A further SIGTERM changes nothing: schedulers send it to every process of a job, and parents pass it on.

        Outside the main thread, Python allows no signal handlers, and the existing ones stay in place.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def interrupt(number: int, _: Any) -> None:
            if self.interrupted and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.interrupted = True

        before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
