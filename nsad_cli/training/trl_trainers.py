"""TRL's trainers of DPO, KTO and GKD as trainers of a stage; imported only when such a stage trains."""

from __future__ import annotations

import math
import time
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Sampler
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # trl.experimental announces that it is
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
    from trl.experimental.gkd import GKDConfig, GKDTrainer
    from trl.trainer.dpo_trainer import DataCollatorForPreference
    from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

from nsad_cli.training.stage_checkpoints import StageCheckpoints
from nsad_cli.training.trainer import diverged
from nsad_cli.utils.system_load import machine_load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nsad_cli.models.nat.adapters import Adapters
    from nsad_cli.runs.run import Run

__all__ = [
    "DPOConfig",
    "DpoTrainer",
    "FrozenModel",
    "GKDConfig",
    "GkdCollator",
    "GkdTrainer",
    "KTOConfig",
    "KtoCollator",
    "KtoTrainer",
    "preference_collator",
]
METRICS = {
    "rewards/margins": "reward_margin",
    "rewards/accuracies": "reward_accuracy",
    "logps/chosen": "logp_right",
    "logps/rejected": "logp_wrong",
    "kl": "kl",
}
"""TRL's metrics that go to the event log, with their names there."""
IGNORED = -100
"""The label of tokens without a loss."""


class PlannedOrder(Sampler[int]):
    """The examples in the order of a plan, an example as often as it occurs there."""

    def __init__(self, order: Sequence[int]) -> None:
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[int]:
        return iter(self.order)


class StageEvents(TrainerCallback):
    """Writes the metrics of a trainer to the run's event log."""

    def __init__(self, trainer: RivalTrainer) -> None:
        self.trainer = trainer
        self._tokens, self._since = trainer.tokens, time.monotonic()

    def on_train_begin(
        self,
        args: TrainingArguments,  # noqa: ARG002  # transformers' interface
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,  # noqa: ARG002
        **_: Any,
    ) -> None:
        """Start the clock."""
        self._restart()

    def on_log(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Write a step's metrics, or the held-out loss.

        Raises:
            NsadError: The loss is not finite.
        """
        logs = logs or {}
        metrics: dict[str, Any]
        if "eval_loss" in logs:
            metrics = {"held_out_loss": logs["eval_loss"]}
            metrics |= {
                f"held_out_{ours}": logs[f"eval_{theirs}"]
                for theirs, ours in METRICS.items()
                if f"eval_{theirs}" in logs
            }
        elif "loss" in logs:
            if not math.isfinite(logs["loss"]):
                raise diverged(self.trainer.stage, state.global_step)
            seconds = max(time.monotonic() - self._since, 1e-9)
            metrics = {
                "loss": logs["loss"],
                "learning_rate": logs["learning_rate"],
                "grad_norm": logs.get("grad_norm"),
                "tokens_per_second": round((self.trainer.tokens - self._tokens) / seconds, 1),
                **{ours: logs[theirs] for theirs, ours in METRICS.items() if theirs in logs},
                **machine_load(),
            }
        else:
            return
        self._restart()
        self.trainer.run.events.emit(self.trainer.stage, state.global_step, state.max_steps, **metrics)

    def _restart(self) -> None:
        self._tokens, self._since = self.trainer.tokens, time.monotonic()


class RivalTrainer(StageCheckpoints):
    """What the trainers share: token ids in the planned order, events, checkpoints of the policy alone.

    Args:
        adapters: The student's adapters.
        order: Indices into the training set.
        stage: The name of the stage.
        run: The run, for events.
        budget: The stage's pack_tokens.
        **parts: Arguments of TRL's trainer.
    """

    def __init__(
        self, *, adapters: Adapters, order: Sequence[int], stage: str, run: Run, budget: int, **parts: Any
    ) -> None:
        self.adapters, self.order = adapters, order
        self.stage, self.run, self.budget = stage, run, budget
        self.tokens = 0
        self.policy = adapters.model.active_adapter
        super().__init__(**parts)
        self.remove_callback(PrinterCallback)
        self.add_callback(StageEvents(self))

    def trained(self) -> dict[str, nn.Parameter]:
        """See StageCheckpoints.trained."""
        return dict(self.adapters.parameters_of(self.policy))

    def kept_state(self) -> dict[str, Tensor]:
        """See StageCheckpoints.kept_state."""
        return {"tokens": torch.tensor(self.tokens)}

    def restore_state(self, state: dict[str, Tensor]) -> None:
        """See StageCheckpoints.restore_state."""
        self.tokens = int(state["tokens"])

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Compute TRL's loss of a batch, and count its tokens in training."""
        if model.training:
            self.tokens += int(inputs["attention_mask"].sum())
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Do nothing: a checkpoint has no model card."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:  # noqa: ARG002  # transformers' interface
        return PlannedOrder(self.order)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        """Return the dataset, which has token ids already."""
        return dataset

    def _send_telemetry(self) -> None:
        """Send nothing."""


class DpoTrainer(RivalTrainer, DPOTrainer):
    """DPO."""


class KtoTrainer(RivalTrainer, KTOTrainer):
    """KTO."""


class GkdTrainer(RivalTrainer, GKDTrainer):
    """GKD; `stop_ids` are the tokens that end a chain."""

    loss_is_scaled_for_ga = False

    def __init__(self, *, stop_ids: Sequence[int], **parts: Any) -> None:
        super().__init__(**parts)
        self.generation_config.eos_token_id = list(stop_ids)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,  # noqa: ARG002  # counted before the chains are sampled
    ) -> Any:
        """Compute the mean loss over the tokens of a batch's own chains."""
        return super().compute_loss(model, inputs, return_outputs)

    def generate_on_policy_outputs(self, model: Any, inputs: Any, generation_config: Any) -> Any:
        """Sample chains without dropout."""
        model.eval()
        try:
            return GKDTrainer.generate_on_policy_outputs(model, inputs, generation_config)
        finally:
            model.train()


class FrozenModel(nn.Module):
    """The student with one of its finished adapters, as a frozen model that shares the base.

    Args:
        adapters: The student's adapters.
        name: The adapter.
    """

    def __init__(self, adapters: Adapters, name: str) -> None:
        super().__init__()
        self.adapters, self.name = adapters, name

    @property
    def config(self) -> Any:
        """The base's config."""
        return self.adapters.base.config

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        """Run the base through the adapter, without dropout."""
        base = self.adapters.base
        training = base.training
        base.eval()
        try:
            with torch.no_grad(), self.adapters.use(self.name):
                return base(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        finally:
            base.train(training)


# --- collators --------------------------------------------------------------------------------------------------------


def preference_collator(pad_id: int) -> Any:
    """Return TRL's collator of pairs."""
    return DataCollatorForPreference(pad_token_id=pad_id)


class KtoCollator:
    """TRL's collator of labelled completions, with the mismatched pairs of KTO's KL term from the same batch.

    TRL makes these pairs beforehand, in the order of the dataset; here the order is that of the plan.
    """

    def __init__(self, pad_id: int) -> None:
        self.collate = DataCollatorForUnpairedPreference(pad_token_id=pad_id)

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Collate rows; each prompt gets the completion of the row before it as its mismatched one."""
        matched = [{**row, "KL_completion_ids": rows[i - 1]["completion_ids"]} for i, row in enumerate(rows)]
        found: dict[str, Tensor] = self.collate(matched)
        return found


class GkdCollator:
    """Prompts, padded on the left, for sampling; and whole sequences for the held-out loss."""

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Collate rows of token ids."""
        prompts = [row["prompt_ids"] for row in rows]
        whole = [[*row["prompt_ids"], *row["completion_ids"]] for row in rows]
        labels = [[*(IGNORED for _ in row["prompt_ids"]), *row["completion_ids"]] for row in rows]
        return {
            "prompts": padded(prompts, self.pad_id, "left"),
            "prompt_attention_mask": padded([[1] * len(ids) for ids in prompts], 0, "left"),
            "input_ids": padded(whole, self.pad_id),
            "attention_mask": padded([[1] * len(ids) for ids in whole], 0),
            "labels": padded(labels, IGNORED),
        }


def padded(rows: Sequence[Sequence[int]], value: int, side: str = "right") -> Tensor:
    """Pad rows to the longest one; [N, T]."""
    tensors = [torch.tensor(row) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=value, padding_side=side)
