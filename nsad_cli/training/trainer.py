"""The trainer of every stage: transformers' Trainer on a fixed plan of steps, with an Objective as its loss."""

from __future__ import annotations

import contextlib
import itertools
import math
import shutil
import time
from abc import abstractmethod
from collections.abc import Sequence, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import TrainerControl, TrainingArguments, set_seed

from nsad_cli.config.stages import stages
from nsad_cli.errors import NsadError
from nsad_cli.training.arguments import training_arguments
from nsad_cli.training.stage_checkpoints import StageCheckpoints
from nsad_cli.training.step_plan import PlannedSteps, first_step, plan_steps, warmup_steps
from nsad_cli.utils.distributed import world_size
from nsad_cli.utils.logs import note
from nsad_cli.utils.system_load import machine_load

if TYPE_CHECKING:
    from nsad_cli.config.schema import StageConfig
    from nsad_cli.runs.run import Run

E = TypeVar("E", bound=Sized)


@dataclass
class BatchLoss:
    """The summed loss of one pack, and metrics for the event log."""

    total: Tensor
    metrics: dict[str, Any] = field(default_factory=dict)


class Objective(nn.Module, Generic[E]):
    """A stage's loss over a student: the trained parameters, the packing of examples, and the loss of a pack."""

    @abstractmethod
    def trained(self) -> dict[str, nn.Parameter]:
        """Return the parameters that the stage trains, by name."""

    @abstractmethod
    def packs(self, examples: Sequence[E], budget: int) -> list[Any]:
        """Pack examples into packs of at most `budget` tokens: Pack, or any object with `tokens` and `to`."""

    @abstractmethod
    def items(self, examples: Sequence[E]) -> int:
        """Count the terms of the examples' summed loss: completion tokens, sequences, or pairs."""

    @abstractmethod
    def loss(self, batch: Any) -> BatchLoss:
        """Compute the summed loss of a pack, with gradients to the trained parameters."""

    def measured(self, held_out: Sequence[E]) -> list[E]:
        """Select the held-out examples whose loss chooses the checkpoint: all, unless some losses are unbounded."""
        return list(held_out)

    def prepare(self, train_set: Sequence[E], epochs: float) -> None:
        """Prepare for the training examples; called once, before the first step."""

    def check(self, packs: Sequence[Any]) -> dict[str, Any]:  # noqa: ARG002  # for subclasses
        """Measure more than the loss on the held-out packs, for the event log."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """Return state other than parameters, for checkpoints."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore the state of a checkpoint."""

    def forward(self, batch: Any) -> BatchLoss:
        """Compute `loss`; transformers' Trainer calls the module itself."""
        return self.loss(batch)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The result of a stage's training."""

    steps: int
    processes: int
    tokens: int
    trained_parameters: int
    held_out_loss: float | None
    """The held-out loss of the weights that are used; None without held-out examples."""
    best_step: int
    """The step whose weights are used."""
    seconds: float
    warmup_steps: int = 0


def train(
    objective: Objective[Any],
    train_set: Sequence[Any],
    held_out: Sequence[Any],
    *,
    stage: str,
    run: Run,
    settings: StageConfig,
    seed: int,
    on_cpu: bool,
    bf16: bool,
    keep_best: bool = True,
) -> TrainResult:
    """Train an objective in place, from the run's newest checkpoint, and keep the best or the last weights.

    Args:
        objective: The loss and its parameters.
        train_set: The training examples.
        held_out: Examples whose loss is measured, and chooses the checkpoint; may be empty.
        stage: The stage's name.
        run: The run, for checkpoints and events.
        settings: The stage's settings.
        seed: Determines the order of examples and dropout.
        on_cpu: Whether to train on the CPU.
        bf16: Whether to compute in bfloat16.
        keep_best: Whether to keep the weights of lowest held-out loss, else those of the last step.

    Returns:
        The result.

    Raises:
        NsadError: A loss is not finite, or the disk is full.
        KeyboardInterrupt: Training was interrupted; a checkpoint has been written.
    """
    lengths = [len(example) for example in train_set]
    epochs = settings.epochs if settings.tokens is None else math.ceil(settings.tokens / max(1, sum(lengths)))
    plan = plan_steps(train_set, lengths, settings, epochs, seed)
    steps = len(plan)
    note_long_warmup(stage, settings, steps)
    folder = run.path / "checkpoints" / stage
    held_out = objective.measured(held_out)
    set_seed(seed)
    trainer = StageTrainer(
        objective,
        training_arguments(folder, settings, steps, seed, on_cpu, bf16, bool(held_out), keep_best),
        PlannedSteps(train_set, plan),
        held_out,
        stage=stage,
        run=run,
        budget=settings.pack_tokens,
    )
    objective.prepare(train_set, epochs)
    started = time.monotonic()
    trainer.fit()
    tokens = sum(lengths[index] for batch in plan for index in batch)
    return train_result(trainer, settings, tokens, time.monotonic() - started)


def note_long_warmup(stage: str, settings: StageConfig, steps: int) -> None:
    """Note that all steps of a stage are warm-up."""
    warmup = warmup_steps(settings, steps)
    if warmup >= steps:
        note(
            f"{stage}: all {steps} steps are warm-up (training.{stages()[stage].section}.warmup_steps = "
            f"{warmup}), so the learning rate never reaches its configured value"
        )


def train_result(trainer: StageCheckpoints, settings: StageConfig, tokens: int, seconds: float) -> TrainResult:
    """Return the result of a trainer that has finished.

    Args:
        trainer: The trainer.
        settings: The stage's settings.
        tokens: The tokens that it trained on.
        seconds: The time that it took.
    """
    steps = trainer.state.max_steps
    measured = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    last = measured[-1] if measured else None
    return TrainResult(
        steps=steps,
        processes=world_size(),
        tokens=tokens,
        trained_parameters=sum(parameter.numel() for parameter in trainer.trained().values()),
        held_out_loss=last if trainer.state.best_metric is None else trainer.state.best_metric,
        best_step=trainer.state.best_global_step or steps,
        seconds=round(seconds, 1),
        warmup_steps=warmup_steps(settings, steps),
    )


def forget_checkpoints(run: Run, stage: str) -> None:
    """Delete a stage's checkpoints, when it has finished or starts from the beginning."""
    shutil.rmtree(run.path / "checkpoints" / stage, ignore_errors=True)


def diverged(stage: str, step: int) -> NsadError:
    """Return the error for a loss that is not finite."""
    return NsadError(
        f"{stage}: the loss is not finite at step {step}",
        "training has diverged",
        f"lower training.{stages()[stage].section}.learning_rate; the last good checkpoint is kept",
    )


class StageTrainer(StageCheckpoints):
    """transformers' Trainer with whole steps as batches, packed here and normalised by their exact number of items.

    Every process gets the whole step and works on its share. The loss and its gradient therefore do not depend on the
    number of processes or the size of packs, except for dropout, whose masks each process samples itself.
    """

    def __init__(
        self,
        objective: Objective[Any],
        args: TrainingArguments,
        train_set: Dataset[Any],
        held_out: list[Any],
        *,
        stage: str,
        run: Run,
        budget: int,
    ) -> None:
        super().__init__(
            model=objective,
            args=args,
            train_dataset=train_set,
            eval_dataset=held_out or None,
            data_collator=list,
        )
        self.objective: Objective[Any] = objective
        self.held_out, self.budget = held_out, budget
        self.stage, self.run = stage, run
        self._metrics: list[tuple[int, dict[str, Any]]] = []
        self._checked: dict[str, Any] = {}
        self._tokens, self._since = 0, time.monotonic()
        self.control: TrainerControl

    # --- loss -----------------------------------------------------------------------------------------------------

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return a loader of the steps in order; they are not distributed to processes, which share each step."""
        assert isinstance(self.train_dataset, Dataset)
        return DataLoader(self.train_dataset, batch_size=1, collate_fn=first_step)

    def get_batch_samples(
        self,
        epoch_iterator: Any,
        num_batches: int,
        device: torch.device,  # noqa: ARG002  # transformers' interface
    ) -> tuple[list[Any], Any]:
        """Return the next steps, without a number of items: each step counts its own."""
        return list(itertools.islice(epoch_iterator, num_batches)), None

    def training_step(
        self,
        model: nn.Module,
        inputs: Any,
        num_items_in_batch: Any = None,  # noqa: ARG002  # transformers' interface
    ) -> Tensor:
        """Run the forward and backward pass of a step's packs.

        Returns:
            This process's part of the step's mean loss.

        Raises:
            NsadError: The loss is not finite; the last checkpoint is kept.
        """
        examples: list[Any] = inputs
        model.train()
        items, total = self.objective.items(examples), torch.zeros((), device=self.args.device)
        # Copied before the first pass: a GPU then neither waits for the host between packs, nor the host for it.
        packs = [(pack.to(self.args.device), weight) for pack, weight in self._own_packs(examples)]
        for i, (pack, weight) in enumerate(packs):
            # Processes exchange gradients once per step, with the last pack.
            last = i == len(packs) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    outcome: BatchLoss = model(pack)
                # Gradients are averaged over processes, so each process multiplies its sum by their number.
                loss = outcome.total * (weight * self.args.world_size / items)
                self.accelerator.backward(loss)
            total += loss.detach()
            if weight:
                self._metrics.append((pack.tokens, outcome.metrics))
                self._tokens += pack.tokens
        if not torch.isfinite(total):
            raise diverged(self.stage, self.state.global_step + 1)
        return total

    def _own_packs(self, examples: list[Any]) -> list[tuple[Any, float]]:
        """Pack this process's share of a step.

        Returns:
            Packs with weight 1, or 0 for a pack that only makes the number of packs equal in all processes.
        """
        processes = self.args.world_size
        if processes == 1:
            return [(pack, 1.0) for pack in self.objective.packs(examples, self.budget)]
        size, rank = len(examples), self.args.process_index
        # Rounded up, so that the first process, which reports metrics, always has a share.
        bounds = [-(-size * i // processes) for i in range(processes + 1)]
        shares = [examples[start:stop] for start, stop in itertools.pairwise(bounds)]
        packed = [self.objective.packs(share or examples[:1], self.budget) for share in shares]
        own = [(pack, 1.0 if shares[rank] else 0.0) for pack in packed[rank]]
        filler = (own[0][0], 0.0)
        return [filler] * (max(map(len, packed)) - len(own)) + own

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Compute the held-out loss, a mean over all items of the held-out set."""
        assert self.model is not None
        self.model.eval()
        total = 0.0
        with torch.no_grad(), self.compute_loss_context_manager():
            packs = [pack.to(self.args.device) for pack in self.objective.packs(self.held_out, self.budget)]
            for pack in packs:
                total += self.objective(pack).total.item()
            self._checked = self.objective.check(packs)
        self.model.train()
        metrics = {"eval_loss": total / max(self.objective.items(self.held_out), 1)}
        self.log(dict(metrics))
        self._tokens, self._since = 0, time.monotonic()
        # Clears `should_evaluate`, which would otherwise cause a second evaluation at the end of the epoch.
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    # --- checkpoints ----------------------------------------------------------------------------------------------

    def trained(self) -> dict[str, nn.Parameter]:
        """See StageCheckpoints.trained."""
        return self.objective.trained()

    def kept_state(self) -> dict[str, Tensor]:
        """See StageCheckpoints.kept_state."""
        return self.objective.state()

    def restore_state(self, state: dict[str, Tensor]) -> None:
        """See StageCheckpoints.restore_state."""
        self.objective.load_state(state)

    # --- events ---------------------------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:  # noqa: ARG002  # transformers' interface
        """Write the Trainer's and the objective's metrics to the run's event log."""
        self.state.log_history.append({**logs, "step": self.state.global_step})
        if "eval_loss" in logs:
            metrics: dict[str, Any] = {"held_out_loss": logs["eval_loss"], **self._checked}
        elif "loss" in logs:
            now = time.monotonic()
            metrics = {
                "loss": logs["loss"],
                "learning_rate": logs["learning_rate"],
                "grad_norm": logs.get("grad_norm"),
                "tokens_per_second": round(self._tokens / max(now - self._since, 1e-9), 1),
                **_weighted_mean(self._metrics),
                **machine_load(),
            }
            self._metrics = []
            self._tokens, self._since = 0, now
        else:
            return
        if self.is_world_process_zero():
            self.run.events.emit(self.stage, self.state.global_step, self.state.max_steps, **metrics)


def _weighted_mean(values: Sequence[tuple[int, Any]]) -> Any:
    """Average the metrics of a step's packs, weighted by their tokens; dicts are averaged key by key."""
    if not values:
        return {}
    first = values[0][1]
    if isinstance(first, dict):
        return {key: _weighted_mean([(weight, value[key]) for weight, value in values]) for key in first}
    return sum(weight * value for weight, value in values) / sum(weight for weight, _ in values)
