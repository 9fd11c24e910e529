"""One trainer for every stage: transformers' Trainer on a fixed plan, with our loss, checkpoints and events."""

from __future__ import annotations

import contextlib
import itertools
import math
import shutil
import signal
import threading
import time
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments, set_seed

from nsad_cli.config.schema import StageConfig, section
from nsad_cli.errors import NsadError
from nsad_cli.training.data import batch_plan, first_batches
from nsad_cli.utils.distributed import any_process, barrier, is_main_process, world_size
from nsad_cli.utils.files import write_atomic
from nsad_cli.utils.system_load import machine_load

if TYPE_CHECKING:
    from nsad_cli.runs.run import Run

WEIGHTS = "trained.safetensors"
STATE = "objective.safetensors"
COMPLETE = "complete"
"""Written last into a checkpoint: one without it was cut short and is never resumed from."""


E = TypeVar("E", bound=Sized)


@dataclass
class BatchLoss:
    """What an objective says of one pack: its summed loss, and numbers for the event log."""

    total: Tensor
    metrics: dict[str, Any] = field(default_factory=dict)


class Objective(nn.Module, Generic[E]):
    """A stage's loss over a student: what is trained, how examples are packed, what they count, and the loss itself."""

    @abstractmethod
    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that the stage trains, by name."""

    @abstractmethod
    def packs(self, examples: Sequence[E], budget: int) -> list[Any]:
        """Lay examples into packs of at most `budget` tokens each: a Pack, or what also has its `tokens` and `to`."""

    @abstractmethod
    def items(self, examples: Sequence[E]) -> int:
        """How many terms the examples' summed loss has: completion tokens, sequences, or pairs."""

    @abstractmethod
    def loss(self, batch: Any) -> BatchLoss:
        """The summed loss of a pack, with gradients to the trained parameters."""

    def measured(self, held_out: Sequence[E]) -> list[E]:
        """The held-out examples that choose the checkpoint: all, unless the loss of some has no lower bound."""
        return list(held_out)

    def prepare(self, train_set: Sequence[E], epochs: float) -> None:
        """See the training examples once, before the first step."""

    def state(self) -> dict[str, Tensor]:
        """What the objective has learned besides parameters, for checkpoints."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up a checkpoint's state."""

    def forward(self, batch: Any) -> BatchLoss:
        """See `loss`; the Trainer calls modules, not methods."""
        return self.loss(batch)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a stage's training came to."""

    steps: int
    processes: int
    tokens: int
    trained_parameters: int
    held_out_loss: float | None
    best_step: int
    seconds: float


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
    note: Callable[[str], None],
) -> TrainResult:
    """Train an objective in place and leave it with the weights of the lowest held-out loss.

    Resumes from the newest whole checkpoint under the run's folder. Raises NsadError for a loss that is not finite
    or a full disk, KeyboardInterrupt (after a checkpoint) when interrupted.
    """
    lengths = [len(example) for example in train_set]
    epochs = settings.epochs if settings.tokens is None else math.ceil(settings.tokens / max(1, sum(lengths)))
    together = [example.prompt for example in train_set] if settings.share_prompts else None
    plan = batch_plan(len(train_set), settings.batch_size, epochs, seed, together)
    if settings.tokens is not None:
        plan = first_batches(plan, lengths, settings.tokens)
    steps = len(plan)
    if settings.warmup_steps >= steps:
        note(
            f"{stage}: all {steps} steps are warm-up (training.{section(stage)}.warmup_steps = "
            f"{settings.warmup_steps}): the learning rate never reaches its value"
        )
    every = max(1, math.ceil(steps / settings.checks))
    folder = run.path / "checkpoints" / stage
    held_out = objective.measured(held_out)
    set_seed(seed)
    trainer = StageTrainer(
        objective,
        _arguments(folder, settings, steps, every, seed, on_cpu, bf16, bool(held_out)),
        _Planned(train_set, plan),
        held_out,
        stage=stage,
        run=run,
        budget=settings.pack_tokens,
    )
    objective.prepare(train_set, epochs)
    resume = _newest_checkpoint(folder)
    if resume is not None:
        note(f"{stage}: resuming at step {resume.name.rpartition('-')[2]} of {steps}")
    started = time.monotonic()
    with _interruptible(trainer), _disk_errors(stage), warnings.catch_warnings():
        # torch warns of a scheduler stepped before its optimizer whenever a resumed schedule is rebuilt
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*", category=UserWarning)
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    if trainer.interrupted:
        raise KeyboardInterrupt
    return TrainResult(
        steps=steps,
        processes=world_size(),
        tokens=sum(lengths[index] for batch in plan for index in batch),
        trained_parameters=sum(parameter.numel() for parameter in objective.trained().values()),
        held_out_loss=trainer.state.best_metric,
        best_step=trainer.state.best_global_step or steps,
        seconds=round(time.monotonic() - started, 1),
    )


def forget_checkpoints(run: Run, stage: str) -> None:
    """Remove a stage's checkpoints: it is finished, or starts afresh."""
    shutil.rmtree(run.path / "checkpoints" / stage, ignore_errors=True)


class StageTrainer(Trainer):
    """transformers' Trainer whose unit of data is a whole step, packed here and normalised by its exact count of items.

    Every process sees the whole step and works on its share of it, so that the loss and its gradient do not depend on
    how many processes there are or how much fits into a pack (but for dropout, whose masks each process draws itself).
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
            callbacks=[_Quiet()],
        )
        self.objective, self.held_out, self.budget = objective, held_out, budget
        self.stage, self.run = stage, run
        self.interrupted = False
        self._metrics: list[tuple[int, dict[str, Any]]] = []
        self._tokens, self._since = 0, time.monotonic()
        self.control: TrainerControl

    # --- loss -----------------------------------------------------------------------------------------------------

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The steps in order; not dealt out to processes, which share each step instead."""
        return DataLoader(self.train_dataset, batch_size=1, collate_fn=_only)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], Any]:
        """The next step."""
        return list(itertools.islice(epoch_iterator, num_batches)), None

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Run a step's packs forward and backward; returns the step's mean loss, this process's part of it.

        Raises NsadError where it is not finite: the last checkpoint is kept.
        """
        examples: list[Any] = inputs
        model.train()
        items, total = self.objective.items(examples), torch.zeros((), device=self.args.device)
        packs = self._own_packs(examples)
        for i, (pack, counts) in enumerate(packs):
            # Gradients travel between processes once, with the last pack.
            last = i == len(packs) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    outcome: BatchLoss = model(pack.to(self.args.device))
                if not torch.isfinite(outcome.total):
                    raise self._diverged()
                # Processes average their gradients, so each scales its sum by their number.
                loss = outcome.total * (counts * self.args.world_size / items)
                self.accelerator.backward(loss)
            total += loss.detach()
            if counts:
                self._metrics.append((pack.tokens, outcome.metrics))
                self._tokens += pack.tokens
        return total

    def _own_packs(self, examples: list[Any]) -> list[tuple[Any, float]]:
        """This process's packs, each with 1, or with 0 for one that only keeps the processes in step."""
        world = self.args.world_size
        if world == 1:
            return [(pack, 1.0) for pack in self.objective.packs(examples, self.budget)]
        world_size, rank = len(examples), self.args.process_index
        bounds = [
            -(-world_size * i // world) for i in range(world + 1)
        ]  # the first process, which reports, is never idle
        shares = [examples[start:stop] for start, stop in itertools.pairwise(bounds)]
        packed = [self.objective.packs(share or examples[:1], self.budget) for share in shares]
        mine = [(pack, 1.0 if shares[rank] else 0.0) for pack in packed[rank]]
        idle = (mine[0][0], 0.0)
        return [idle] * (max(map(len, packed)) - len(mine)) + mine

    def _diverged(self) -> NsadError:
        return NsadError(
            f"{self.stage}: the loss is not finite at step {self.state.global_step + 1}",
            "training has diverged",
            f"lower training.{section(self.stage)}.learning_rate; the last good checkpoint is kept",
        )

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The held-out loss, a mean over all items of the held-out set."""
        self.model.eval()
        total = 0.0
        with torch.no_grad(), self.compute_loss_context_manager():
            for pack in self.objective.packs(self.held_out, self.budget):
                total += self.objective(pack.to(self.args.device)).total.item()
        self.model.train()
        metrics = {"eval_loss": total / max(self.objective.items(self.held_out), 1)}
        self.log(dict(metrics))
        self._tokens, self._since = 0, time.monotonic()
        # Without it the last step's order to evaluate would stand, and the end of the epoch would obey it again.
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    # --- checkpoints ----------------------------------------------------------------------------------------------

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        folder = Path(output_dir or str(self.args.output_dir))
        weights = {name: value.detach().contiguous() for name, value in self.objective.trained().items()}
        write_atomic(folder / WEIGHTS, save(weights))
        write_atomic(folder / STATE, save(self.objective.state()))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        barrier()  # each process writes the state of its own random numbers
        if is_main_process():
            self._keep_newest_and_best()

    def _keep_newest_and_best(self) -> None:
        newest = self._checkpoint(self.state.global_step)
        (newest / COMPLETE).touch()
        for old in set(newest.parent.glob("checkpoint-*")) - {newest, self._checkpoint(self.state.best_global_step)}:
            (old / COMPLETE).unlink(missing_ok=True)  # first: one that is half gone must not count as whole
            shutil.rmtree(old, ignore_errors=True)

    def _checkpoint(self, step: int | None) -> Path:
        return Path(str(self.args.output_dir)) / f"checkpoint-{step}"

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        self._load_weights(Path(resume_from_checkpoint))
        self.objective.load_state(load_file(Path(resume_from_checkpoint) / STATE))

    def _load_best_model(self) -> None:
        self._load_weights(self._checkpoint(self.state.best_global_step))

    def _load_weights(self, folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        with torch.no_grad():
            for name, parameter in self.objective.trained().items():
                parameter.copy_(weights[name])

    # --- events ---------------------------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Send what the Trainer measured, with the objective's own numbers, to the run's events."""
        self.state.log_history.append({**logs, "step": self.state.global_step})
        if "eval_loss" in logs:
            metrics: dict[str, Any] = {"held_out_loss": logs["eval_loss"]}
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
            self.run.emit(self.stage, self.state.global_step, self.state.max_steps, **metrics)


def _weighted_mean(values: Sequence[tuple[int, Any]]) -> Any:
    """The mean over a step's packs, weighed by their tokens, number by number through dicts."""
    if not values:
        return {}
    first = values[0][1]
    if isinstance(first, dict):
        return {key: _weighted_mean([(weight, value[key]) for weight, value in values]) for key in first}
    return sum(weight * value for weight, value in values) / sum(weight for weight, _ in values)


def _only(steps: list[Any]) -> Any:
    """A data loader's batch of one step is the step."""
    return steps[0]


class _Planned(Dataset[Any]):
    """The plan's steps, each a list of examples: the Trainer reads them from front to back, once."""

    def __init__(self, examples: Sequence[Any], plan: Sequence[Sequence[int]]) -> None:
        self.examples, self.plan = examples, plan

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> list[Any]:
        return [self.examples[number] for number in self.plan[index]]


class _Quiet(TrainerCallback):
    """Stops after the step in which an interrupt came, with a checkpoint."""

    trainer: StageTrainer | None = None

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Ask for a checkpoint and the end where an interrupt came, to whichever process."""
        if self.trainer is not None and any_process(self.trainer.interrupted):
            self.trainer.interrupted = True
            control.should_save = control.should_training_stop = True
        return control


def _arguments(
    folder: Path,
    settings: StageConfig,
    steps: int,
    every: int,
    seed: int,
    on_cpu: bool,
    bf16: bool,
    evaluate: bool,
) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=1,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        lr_scheduler_type="linear",
        weight_decay=0.0,
        max_grad_norm=1.0,
        seed=seed,
        bf16=bf16,
        use_cpu=on_cpu,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        dataloader_pin_memory=not on_cpu,
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="steps" if evaluate else "no",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=None,  # see _keep_newest_and_best
        load_best_model_at_end=evaluate,
        metric_for_best_model="loss" if evaluate else None,
        greater_is_better=False if evaluate else None,
        ddp_find_unused_parameters=False,
        report_to=[],
        disable_tqdm=True,
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # several GPUs take a launcher, never torch's DataParallel
    return arguments


def _newest_checkpoint(folder: Path) -> Path | None:
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


@contextlib.contextmanager
def _interruptible(trainer: StageTrainer) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM lets the step end and a checkpoint be written; the second one stops at once."""
    callback = next(item for item in trainer.callback_handler.callbacks if isinstance(item, _Quiet))
    callback.trainer = trainer

    def interrupt(*_: Any) -> None:
        if trainer.interrupted:
            raise KeyboardInterrupt
        trainer.interrupted = True

    if threading.current_thread() is not threading.main_thread():  # the caller's own handling stands
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _disk_errors(stage: str) -> Iterator[None]:
    """Tell a full disk in three lines: torch and safetensors wrap it in errors of their own."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        text = f"{error} {error.__context__}"
        full = any(mark in text for mark in ("No space left", "os error 28"))
        if full or any(mark in text for mark in ("PytorchStreamWriter", "inline_container", "iostream error")):
            raise NsadError(
                f"{stage}: a checkpoint could not be written",
                "the disk is full" if full else "torch could not finish the file, most likely because the disk is full",
                "free some space and run the same command again: it resumes from the last whole checkpoint",
            ) from error
        raise
