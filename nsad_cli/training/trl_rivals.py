"""Baselines that TRL trains: DPO, KTO and GKD, with the run's rationales, student, LoRA, budget and held-out problems.

dpo   Direct Preference Optimization (Rafailov et al. 2023): pairs of a right and a wrong rationale of one problem
kto   Kahneman-Tversky Optimization (Ethayarajh et al. 2024): right and wrong rationales with their labels
gkd   Generalized Knowledge Distillation (Agarwal et al. 2024), on-policy: chains that the student samples at each step
      for the problems of D+, with NAT as the teacher

All start from the LoRA of cot-kd, which is also the frozen reference of DPO and KTO. They see the token ids, the order
of examples and the schedule of the other baselines; TRL computes the losses. Other settings are TRL's defaults, except:

- Dropout is that of adapter.dropout, in the policy only; TRL would have none.
- KTO weights the rarer label up to the commoner one's total weight (Eq. 8 of its paper).
- GKD learns from its own chains only (lmbda = 1), sampled without dropout at sampling.temperature, and a step's loss is
  the mean over the tokens of its chains; TRL would divide by the number of tokens of the rationales.
- TRL's telemetry and model cards are off.

One copy of the base serves policy, reference and teacher. TRL names the policy `default` and the reference `ref`.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from torch import nn
from transformers import set_seed

from nsad_cli.errors import NsadError, first_line
from nsad_cli.training.adapter_stage import AdapterTraining, load_objective
from nsad_cli.training.arguments import training_arguments
from nsad_cli.training.likelihood import require_plain_head
from nsad_cli.training.step_plan import plan_steps
from nsad_cli.training.trainer import note_long_warmup, train_result
from nsad_cli.training.trl_library import INSTALL, require_trl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nsad_cli.config.schema import StageConfig
    from nsad_cli.config.stages import Stage
    from nsad_cli.inference.session import Session
    from nsad_cli.models.nat.adapters import Adapters
    from nsad_cli.models.packing import Example
    from nsad_cli.training.ranker import Pair
    from nsad_cli.training.stage_data import Corpus, StageData
    from nsad_cli.training.trainer import TrainResult

T = TypeVar("T")
POLICY, REFERENCE = "default", "ref"
"""The names of adapters that TRL's trainers look for."""
MIN_KTO_ROWS = 2


@dataclass(frozen=True, slots=True)
class Rival:
    """A method of TRL.

    Attributes:
        trainer: A trainer of trl_trainers.
        config: TRL's class of its arguments.
        row: Converts an example of the stage to a row of the dataset that the trainer's collator reads.
        size: The padded tokens of a forward pass over one example.
        settings: Values of the config beside those of the stage.
        from_examples: Returns further values, for the training examples.
        parts: Further arguments of the trainer.
        min_rows: The fewest examples per forward pass.
    """

    trainer: Any
    config: Any
    row: Callable[[Any], dict[str, Any]]
    size: Callable[[Any], int]
    settings: dict[str, Any] = field(default_factory=dict)
    from_examples: Callable[[Sequence[Any]], dict[str, Any]] = lambda _: {}
    parts: dict[str, Any] = field(default_factory=dict)
    min_rows: int = 1


def dpo(session: Session, _stage: Stage, _settings: StageConfig) -> Rival:
    """Return DPO on pairs."""
    from nsad_cli.training.trl_trainers import DPOConfig, DpoTrainer, preference_collator

    def row(pair: Pair) -> dict[str, Any]:
        return {
            "prompt_ids": list(pair.right.prompt),
            "chosen_ids": list(pair.right.completion),
            "rejected_ids": list(pair.wrong.completion),
        }

    return Rival(
        DpoTrainer,
        DPOConfig,
        row,
        lambda pair: 2 * max(map(len, pair.sides())),
        parts={"data_collator": preference_collator(session.student.pad_id)},
    )


def kto(session: Session, _stage: Stage, _settings: StageConfig) -> Rival:
    """Return KTO on labelled rationales."""
    from nsad_cli.training.trl_trainers import KtoCollator, KTOConfig, KtoTrainer

    def row(example: Example) -> dict[str, Any]:
        return {
            "prompt_ids": list(example.prompt),
            "completion_ids": list(example.completion),
            "label": not example.wrong,
        }

    parts = {"data_collator": KtoCollator(session.student.pad_id)}
    return Rival(KtoTrainer, KTOConfig, row, len, from_examples=label_weights, parts=parts, min_rows=MIN_KTO_ROWS)


def gkd(session: Session, stage: Stage, _settings: StageConfig) -> Rival:
    """Return on-policy GKD; the last stage that it requires is its teacher."""
    from nsad_cli.training.trl_trainers import FrozenModel, GkdCollator, GKDConfig, GkdTrainer

    sampling = session.recipe.sampling

    def row(example: Example) -> dict[str, Any]:
        return {"prompt_ids": list(example.prompt), "completion_ids": list(example.completion)}

    return Rival(
        GkdTrainer,
        GKDConfig,
        row,
        lambda example: len(example.prompt) + max(sampling.max_new_tokens, len(example.completion)),
        settings={
            "lmbda": 1.0,
            "temperature": sampling.temperature,
            "max_new_tokens": sampling.max_new_tokens,
        },
        parts={
            "teacher_model": FrozenModel(session.adapters, stage.requires[-1]),
            "data_collator": GkdCollator(session.student.pad_id),
            "stop_ids": sorted(session.student.stop_ids),
        },
    )


def label_weights(examples: Sequence[Example]) -> dict[str, float]:
    """Return KTO's weights of the two labels: the rarer one's total weight is raised to that of the other."""
    wrong = sum(example.wrong for example in examples)
    right = len(examples) - wrong
    return {"desirable_weight": max(1.0, wrong / right), "undesirable_weight": max(1.0, right / wrong)}


class TrlTraining(AdapterTraining):
    """Training of a LoRA by a trainer of TRL; see stages.StageTraining."""

    def __init__(self, session: Session, stage: Stage, corpus: Corpus) -> None:
        super().__init__(session, stage, corpus)
        require_trl([stage.name])

    def build(self) -> Any:
        """Add the policy, with the weights of the first stage that is required, and return the method."""
        session, stage, adapters = self.session, self.stage, self.session.adapters
        self._forget_copies()
        for name in stage.requires:
            session.load(name)
        adapters.add_lora(POLICY, session.adapter_settings, session.recipe.seed + stage.seed_offset)
        require_plain_head(adapters, stage.name)
        adapters.copy_weights(stage.requires[0], POLICY)
        try:
            return load_objective(stage)(session, stage, self.settings)
        except ImportError as error:
            raise NsadError(f"{stage.name}: the installed TRL cannot be used", first_line(error), INSTALL) from error

    def shards_base(self, _objective: Any) -> bool:
        """Return False: a trainer of TRL runs in one process."""
        return False

    def learn(self, objective: Any, data: StageData) -> TrainResult:
        """Train the policy and copy it to the stage's adapter."""
        session, stage, adapters = self.session, self.stage, self.session.adapters
        try:
            with adapters.use(POLICY), restored(adapters), known_warnings_ignored():
                trainer = self.make_trainer(objective, data)
                set_seed(session.recipe.seed)
                started = time.monotonic()
                trainer.fit()
                result = train_result(trainer, self.settings, trainer.tokens, time.monotonic() - started)
            adapters.add_lora(stage.name, session.adapter_settings, session.recipe.seed + stage.seed_offset)
            adapters.copy_weights(POLICY, stage.name)
        finally:
            self._forget_copies()
        return result

    def make_trainer(self, rival: Rival, data: StageData) -> Any:
        """Make TRL's trainer of the policy, with its reference if it has one.

        Args:
            rival: The method.
            data: The stage's data.

        Returns:
            A RivalTrainer.

        Raises:
            NsadError: The batch size is too small for the method.
        """
        from datasets import Dataset

        session, name, settings = self.session, self.stage.name, self.settings
        order, steps = self._order(rival, data)
        note_long_warmup(name, settings, steps)
        rows = self._rows_at_once(rival, data)
        held_out = without_remainder(data.held_out, rows, rival.min_rows)
        session.adapters.model.set_adapter(POLICY)
        arguments = training_arguments(
            session.run.path / "checkpoints" / name,
            settings,
            steps,
            session.recipe.seed,
            session.student.model.device.type == "cpu",
            session.bf16,
            bool(held_out),
            session.recipe.training.keep == "best",
            kind=rival.config,
            per_device_train_batch_size=rows,
            per_device_eval_batch_size=rows,
            gradient_accumulation_steps=settings.batch_size // rows,
            gradient_checkpointing=False,
            max_length=None,
            disable_dropout=False,
            **rival.settings,
            **rival.from_examples(data.train),
        )
        trainer = rival.trainer(
            adapters=session.adapters,
            order=order,
            stage=name,
            run=session.run,
            budget=settings.pack_tokens,
            model=session.adapters.model,
            args=arguments,
            train_dataset=Dataset.from_list([rival.row(item) for item in data.train]),
            eval_dataset=Dataset.from_list([rival.row(item) for item in held_out]) if held_out else None,
            processing_class=copy.deepcopy(session.student.tokenizer),
            **rival.parts,
        )
        _prepare_policy(session.adapters)
        return trainer

    def _order(self, rival: Rival, data: StageData) -> tuple[list[int], int]:
        """Return the indices of the examples in the order of training, and the number of steps."""
        settings, lengths = self.settings, [len(example) for example in data.train]
        epochs = settings.epochs if settings.tokens is None else math.ceil(settings.tokens / max(1, sum(lengths)))
        plan = plan_steps(data.train, lengths, settings, epochs, self.session.recipe.seed)
        order = [index for batch in plan for index in batch]
        order = without_remainder(order, self._rows_at_once(rival, data), rival.min_rows) or order
        return order, math.ceil(len(order) / settings.batch_size)

    def _rows_at_once(self, rival: Rival, data: StageData) -> int:
        """Return the examples per forward pass: the most that fit, padded, and divide a step's examples.

        Raises:
            NsadError: A step has fewer examples than the method needs at once.
        """
        size = self.settings.batch_size
        if size < rival.min_rows:
            raise NsadError(
                f"{self.stage.name}: training.{self.stage.section}.batch_size is {size}",
                f"the method compares at least {rival.min_rows} examples of a forward pass with each other",
                f"set it to {rival.min_rows} or more, e.g. with --batch-size",
            )
        budget = min(self.settings.pack_tokens, self.stage.cost.pack or self.settings.pack_tokens)
        longest = max(map(rival.size, (*data.train, *data.held_out)))
        divisors = [rows for rows in range(rival.min_rows, size + 1) if size % rows == 0]
        return max((rows for rows in divisors if rows * longest <= budget), default=divisors[0])

    def _forget_copies(self) -> None:
        """Delete the adapters that exist only while TRL trains."""
        for name in (POLICY, REFERENCE):
            if name in self.session.adapters.names():
                self.session.adapters.delete(name)


def without_remainder(items: Sequence[T], rows: int, fewest: int) -> list[T]:
    """Return the items without those of a last forward pass of `rows` items that has fewer than `fewest`."""
    left = len(items) % rows
    return list(items[: len(items) - left] if left < fewest else items)


def _prepare_policy(adapters: Adapters) -> None:
    """Leave gradients and dropout to the policy alone, in float32: TRL lowers it over a base in 4 bits."""
    adapters.layers.activate(POLICY)
    adapters.train_only(POLICY)
    for _, parameter in adapters.parameters_of(POLICY):
        parameter.data = parameter.data.float()
    for _, layer in adapters.layers:
        if REFERENCE in layer.lora_dropout:
            layer.lora_dropout[REFERENCE] = nn.Identity()


@contextlib.contextmanager
def known_warnings_ignored() -> Iterator[None]:
    """Ignore PEFT's warning of a second adapter, and those that PEFT and TRL use old names of transformers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="peft.*")
        warnings.filterwarnings("ignore", category=FutureWarning, module="transformers.*")
        yield


@contextlib.contextmanager
def restored(adapters: Adapters) -> Iterator[None]:
    """Undo what TRL changes in the shared base afterwards: patched methods and the padding token."""
    base, model = adapters.base, adapters.model
    names = ("forward", "_original_forward", "_is_accelerate_prepared")
    patched = [(module, name) for module in (base, model) for name in names]
    before = [module.__dict__.get(name) for module, name in patched]
    configs = [config for config in (base.config.get_text_config(), base.generation_config) if config is not None]
    pads = [config.pad_token_id for config in configs]
    try:
        yield
    finally:
        for (module, name), value in zip(patched, before, strict=True):
            module.__dict__.pop(name, None)
            if value is not None:
                module.__dict__[name] = value
        for config, pad in zip(configs, pads, strict=True):
            config.pad_token_id = pad
