"""A Trainer that runs as a stage: interrupts, checkpoints of what it trains, and resuming."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save
from transformers import Trainer

from nsad_cli.config.stages import stages
from nsad_cli.models.device_memory import memory_errors
from nsad_cli.training.checkpoints import (
    STATE,
    WEIGHTS,
    checkpoint_errors,
    checkpoint_folder,
    keep_newest_and_best,
    newest_checkpoint,
)
from nsad_cli.training.interrupts import InterruptCallback
from nsad_cli.training.periodic_checkpoints import PeriodicCheckpoints
from nsad_cli.utils.distributed import barrier, is_main_process
from nsad_cli.utils.files import write_atomic
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from torch import Tensor, nn


class StageCheckpoints(Trainer):
    """transformers' Trainer, or one of its subclasses, with checkpoints that hold the trained parameters alone.

    Its arguments, except callbacks, are the Trainer's.

    Attributes:
        stage: The name of the stage.
        budget: Its pack_tokens.
        interrupts: Ctrl-C and SIGTERM.
    """

    stage: str
    budget: int

    def __init__(self, **parts: Any) -> None:
        self.interrupts = InterruptCallback()
        parts["callbacks"] = [self.interrupts, PeriodicCheckpoints()]
        super().__init__(**parts)

    @abstractmethod
    def trained(self) -> dict[str, nn.Parameter]:
        """Return the trained parameters by name."""

    def kept_state(self) -> dict[str, Tensor]:
        """Return state other than parameters, for checkpoints."""
        return {}

    def restore_state(self, state: dict[str, Tensor]) -> None:
        """Restore the state of a checkpoint."""

    def fit(self) -> None:
        """Train from the newest checkpoint or from the start, with interrupts and a full disk handled.

        Raises:
            NsadError: A loss is not finite, the disk is full, or the device's memory does not suffice.
            KeyboardInterrupt: Training was interrupted; a checkpoint has been written.
        """
        checkpoint = newest_checkpoint(Path(str(self.args.output_dir)), self.stage)
        if checkpoint is not None:
            note(f"{self.stage}: resuming at step {checkpoint.name.rpartition('-')[2]} of {self.args.max_steps}")
        setting = f"training.{stages()[self.stage].section}.pack_tokens"
        with (
            self.interrupts.handling_signals(),
            checkpoint_errors(self.stage),
            memory_errors(self.stage, setting, self.budget),
            warnings.catch_warnings(),
        ):
            # torch warns of a scheduler stepped before its optimizer whenever a resumed schedule is rebuilt
            warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*", category=UserWarning)
            self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if self.interrupts.interrupted:
            raise KeyboardInterrupt

    def _save(
        self,
        output_dir: str | None = None,
        state_dict: dict[str, Any] | None = None,  # noqa: ARG002  # transformers' interface
    ) -> None:
        folder = Path(output_dir or str(self.args.output_dir))
        weights = {name: value.detach().contiguous() for name, value in self.trained().items()}
        write_atomic(folder / WEIGHTS, save(weights))
        write_atomic(folder / STATE, save(self.kept_state()))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        barrier()  # each process writes the state of its random number generators
        if is_main_process():
            keep_newest_and_best(
                self._checkpoint(self.state.global_step), self._checkpoint(self.state.best_global_step)
            )

    def _checkpoint(self, step: int | None) -> Path:
        return checkpoint_folder(Path(str(self.args.output_dir)), step)

    def _load_from_checkpoint(
        self,
        resume_from_checkpoint: str,
        model: nn.Module | None = None,  # noqa: ARG002  # transformers' interface
    ) -> None:
        self._load_weights(Path(resume_from_checkpoint))
        self.restore_state(load_file(Path(resume_from_checkpoint) / STATE))

    def _load_best_model(self) -> None:
        self._load_weights(self._checkpoint(self.state.best_global_step))

    def _load_weights(self, folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        with torch.no_grad():
            for name, parameter in self.trained().items():
                parameter.copy_(weights[name])
