"""The table of stages and baselines: what each one requires, learns from, trains and costs.

Pipeline, plan, memory estimates, model session, commands and dashboard use this table and do not hard-code stages. A
new baseline needs one entry here and one file with its objective; other packages add baselines through the entry-point
group `nsad.objectives`, whose objects are `Stage` instances.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from nsad_cli.config.plugins import OBJECTIVES, plugins
from nsad_cli.utils.logs import logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Kind(StrEnum):
    """The part of a run that a stage belongs to."""

    COLLECTION = "collection"
    TRAINING = "training"
    """A stage of the method; it has a section of its name under `training` in the recipe."""
    BASELINE = "baseline"
    AUXILIARY = "auxiliary"
    """Trained only if a baseline requires it."""
    EVALUATION = "evaluation"


class LearnsFrom(StrEnum):
    """The training data of a stage."""

    RIGHT = "D+"
    WRONG = "D−"
    BOTH = "D+ and D−"
    PAIRS = "pairs of a right and a wrong rationale of one problem"
    SOLUTIONS = "human solutions"
    OWN_PAIRS = "pairs of the student's own chains"
    OWN_WRONG = "the student's own wrong chains"
    NOTHING = "nothing: its weights are not trained"


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost model of a stage, for plans.

    Attributes:
        step: The kind of training step whose speed is measured: plain LoRA, NAT, or NCE.
        loras: The number of LoRA adapters in memory during training.
        unit: Whether the integration unit is in memory.
        teachers: The number of frozen teachers that run in each step.
        logits: Whether the stage computes logits over the vocabulary.
        passes: Additional forward passes over a step's tokens that the measured step does not include.
        pack: The maximum tokens per forward pass if the logits of all of them exist at once; None if they are computed
            in chunks.
    """

    step: Literal["lora", "nat", "nce"] = "lora"
    loras: int = 1
    unit: bool = False
    teachers: int = 0
    logits: bool = True
    passes: int = 0
    pack: int | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a run, or one baseline.

    Attributes:
        name: The name of the stage, of its adapter, and (of a training stage) of its section in the recipe.
        kind: The part of a run that it belongs to.
        command: The command that runs it, without `nsad`; empty for `train-baseline NAME`.
        requires: Stages that must have finished; the key of a training stage includes their weights. A stage of TRL
            starts from the first one.
        learns_from: The training data; None for a stage that trains nothing.
        objective: `MODULE:FUNCTION` that builds the training objective from (session, stage, settings), imported when
            the stage trains; for a scorer from (scorer, name of the ranker's loss); for a stage that TRL trains see
            training.trl_rivals.
        trainer: The trainer of its adapter: this package's own, or one of the package trl (the extra `trl`).
        adapter: What is trained: a LoRA, a LoRA with NAT's integration unit, or a scorer of chains.
        companion: The frozen adapter of a NAT adapter (the negative one).
        seed_offset: Added to the recipe's seed for the initial weights.
        samples_from: The model whose own chains on training problems are (additional) training data.
        on_policy: Whether it samples chains from the model that it trains, at each step, to learn from them.
        defaults: The recipe section with a baseline's default settings.
        learning_rate_factor: Its learning rate, relative to that of its section of the recipe.
        answers: Whether its adapter is a model that solves problems.
        labels: Whether each question asks for a correct or an incorrect solution; as a model it is asked for correct
            ones.
        sees_solutions: Whether training.baseline_human_solutions adds the human solutions to its right rationales.
        cost: The cost model for plans.
    """

    name: str
    kind: Kind
    command: str = ""
    requires: tuple[str, ...] = ()
    learns_from: LearnsFrom | None = None
    objective: str = ""
    trainer: Literal["nsad", "trl"] = "nsad"
    adapter: Literal["lora", "nat", "scorer"] = "lora"
    companion: str | None = None
    seed_offset: int = 2
    samples_from: str | None = None
    on_policy: bool = False
    defaults: str = "nat"
    learning_rate_factor: float = 1.0
    answers: bool = True
    labels: bool = False
    sees_solutions: bool = False
    cost: Cost = field(default_factory=Cost)

    @property
    def trains(self) -> bool:
        """Whether the stage trains an adapter."""
        return self.learns_from is not None

    @property
    def section(self) -> str:
        """The section under `training` in the recipe with its settings."""
        return self.name if self.kind is Kind.TRAINING else "baseline"

    @property
    def command_line(self) -> str:
        """The command that runs it, as typed."""
        return f"nsad {self.command or f'train-baseline {self.name}'}"

    @property
    def sampling_event(self) -> str:
        """The stage name under which the event log records the sampling of its chains."""
        return f"{self.name if self.kind is Kind.TRAINING else self.defaults}-chains"


LIKELIHOOD = "nsad_cli.training.likelihood:build"
COLLECT = Stage("collect", Kind.COLLECTION, "collect", answers=False)
GRADE = Stage("grade", Kind.COLLECTION, "grade", requires=("collect",), answers=False)
EVAL_BEFORE = Stage("eval-before", Kind.EVALUATION, "eval", answers=False)
NEGATIVE = Stage(
    "negative",
    Kind.TRAINING,
    "train-nat",
    learns_from=LearnsFrom.WRONG,
    objective=LIKELIHOOD,
    seed_offset=0,
)
NAT = Stage(
    "nat",
    Kind.TRAINING,
    "train-nat",
    requires=("negative",),
    learns_from=LearnsFrom.RIGHT,
    objective=LIKELIHOOD,
    adapter="nat",
    companion="negative",
    seed_offset=1,
    cost=Cost("nat", loras=2, unit=True),
)
NCE = Stage(
    "nce",
    Kind.TRAINING,
    "train-nce",
    requires=("nat",),
    learns_from=LearnsFrom.RIGHT,
    objective="nsad_cli.training.nce:build",
    samples_from="nat",
    cost=Cost("nce", loras=3, unit=True, teachers=2),
)
RANKER = Stage(
    "ranker",
    Kind.TRAINING,
    "train-ranker",
    requires=("nce",),
    learns_from=LearnsFrom.OWN_PAIRS,
    objective="nsad_cli.training.ranker:RankerObjective",
    adapter="scorer",
    seed_offset=3,
    samples_from="nce",
    answers=False,
    cost=Cost(loras=4, unit=True, logits=False),
)
EVAL = Stage("eval", Kind.EVALUATION, "eval", answers=False)


_baseline = functools.partial(Stage, kind=Kind.BASELINE, objective=LIKELIHOOD)
_trl = functools.partial(Stage, kind=Kind.BASELINE, trainer="trl")
PREFERENCE_RATE = 0.05
"""The learning rate of DPO and KTO, relative to that of likelihood: the ratio of TRL's defaults, 1e-6 to 2e-5."""

# The stages of the method, then the baselines of the paper's table, REDI and TRL, with NAT's data, settings and budget.
_BUILT_IN = (
    COLLECT,
    GRADE,
    EVAL_BEFORE,
    NEGATIVE,
    NAT,
    NCE,
    RANKER,
    EVAL,
    Stage(
        "positive",
        Kind.AUXILIARY,
        learns_from=LearnsFrom.RIGHT,
        objective=LIKELIHOOD,
        seed_offset=0,
        answers=False,
    ),
    _baseline(name="ft", learns_from=LearnsFrom.SOLUTIONS),
    _baseline(name="cot-kd", learns_from=LearnsFrom.RIGHT),
    _baseline(name="mix", learns_from=LearnsFrom.BOTH),
    _baseline(
        name="nt",
        learns_from=LearnsFrom.BOTH,
        objective="nsad_cli.training.baselines:build_negative_training",
        sees_solutions=True,
    ),
    _baseline(
        name="ul",
        learns_from=LearnsFrom.BOTH,
        objective="nsad_cli.training.baselines:build_unlikelihood",
        sees_solutions=True,
    ),
    _baseline(
        name="cl",
        learns_from=LearnsFrom.PAIRS,
        objective="nsad_cli.training.baselines:build_contrastive",
        sees_solutions=True,
    ),
    _baseline(
        name="critical-tokens",
        learns_from=LearnsFrom.RIGHT,
        objective="nsad_cli.training.critical_tokens:build",
        requires=("positive", "negative"),
        cost=Cost("nce", loras=3, teachers=2),
    ),
    _baseline(
        name="wrong-first",
        learns_from=LearnsFrom.RIGHT,
        objective="nsad_cli.training.baselines:build_continued",
        requires=("negative",),
    ),
    _baseline(
        name="right-first",
        learns_from=LearnsFrom.RIGHT,
        objective="nsad_cli.training.baselines:build_continued",
        requires=("positive",),
    ),
    _baseline(
        name="labelled",
        learns_from=LearnsFrom.BOTH,
        objective="nsad_cli.training.baselines:build_labelled",
        labels=True,
    ),
    _baseline(name="labelled-right", learns_from=LearnsFrom.RIGHT, labels=True),
    _baseline(
        name="redi",
        learns_from=LearnsFrom.BOTH,
        objective="nsad_cli.training.baselines:build_redi",
        requires=("cot-kd",),
    ),
    _trl(
        name="dpo",
        learns_from=LearnsFrom.PAIRS,
        objective="nsad_cli.training.trl_rivals:dpo",
        requires=("cot-kd",),
        learning_rate_factor=PREFERENCE_RATE,
        cost=Cost(loras=3, passes=1),
    ),
    _trl(
        name="kto",
        learns_from=LearnsFrom.BOTH,
        objective="nsad_cli.training.trl_rivals:kto",
        requires=("cot-kd",),
        learning_rate_factor=PREFERENCE_RATE,
        cost=Cost(loras=3, passes=3),
    ),
    _trl(
        name="gkd",
        learns_from=LearnsFrom.RIGHT,
        objective="nsad_cli.training.trl_rivals:gkd",
        requires=("cot-kd", "nat"),
        on_policy=True,
        cost=Cost(loras=4, unit=True, teachers=1, passes=1, pack=1024),
    ),
    _baseline(
        name="nat-control",
        learns_from=LearnsFrom.RIGHT,
        adapter="nat",
        requires=("positive",),
        companion="positive",
        seed_offset=1,
        cost=NAT.cost,
    ),
    _baseline(
        name="self-distillation",
        learns_from=LearnsFrom.RIGHT,
        objective="nsad_cli.training.nce:build_fixed_beta",
        requires=("nat",),
        samples_from="nat",
        defaults="nce",
        cost=NCE.cost,
    ),
)
RUN_ORDER = tuple(stage.name for stage in _BUILT_IN if stage.kind not in (Kind.BASELINE, Kind.AUXILIARY))
"""The stages of `nsad run`, in order."""
TRAINING = tuple(stage for stage in _BUILT_IN if stage.kind is Kind.TRAINING)
"""The training stages of `nsad run`, in order."""
STUDENT = NCE
"""The stage whose adapter is the run's student."""
UNTRAINED = ("base", "few-shot")
"""Models that need no training: the student's base, and the base with demonstrations in its prompt."""
BEST_FIRST = (NCE.name, NAT.name, UNTRAINED[0])
"""Models in order of preference: the default model is the first of these that the run has."""


NEGATIVE_SOURCES = {
    "teacher": NEGATIVE,
    "own": replace(
        NEGATIVE, learns_from=LearnsFrom.OWN_WRONG, requires=("positive",), samples_from="positive", seed_offset=0
    ),
    "random": replace(NEGATIVE, learns_from=LearnsFrom.NOTHING),
    "none": replace(NEGATIVE, learns_from=LearnsFrom.NOTHING),
}
"""The negative adapter by training.negative.source.

teacher: trained on D−, as in the paper. own: trained on wrong chains of an adapter that was trained on D+. random:
random weights of a trained adapter's size. none: zero weights, so that h− is the base's output.
"""


def stages_for(source: str) -> Mapping[str, Stage]:
    """Return the table of stages for a recipe's training.negative.source."""
    return {**stages(), NEGATIVE.name: NEGATIVE_SOURCES[source]}


@functools.cache
def stages() -> Mapping[str, Stage]:
    """Return every stage by name: built-in ones in the order of a run, then baselines, then those of plugins."""
    table = {stage.name: stage for stage in _BUILT_IN}
    for name, stage in plugins(OBJECTIVES).items():
        if isinstance(stage, Stage) and stage.name not in table:
            table[stage.name] = stage
        else:
            logger.warning("plugin `%s` (%s) ignored: it is not a Stage, or its name is taken", name, OBJECTIVES)
    return table


def table_entry(name: str) -> Stage:
    """Return a stage by name; if the table has none (its plugin is not installed), a baseline of that name."""
    return stages().get(name) or Stage(name, Kind.BASELINE)


def baselines() -> tuple[str, ...]:
    """Return the names that `nsad train-baseline` accepts."""
    return tuple(stage.name for stage in stages().values() if stage.kind is Kind.BASELINE)


def models() -> tuple[str, ...]:
    """Return every model that can solve problems: the untrained ones, those of the method, the baselines."""
    return (*UNTRAINED, *(stage.name for stage in stages().values() if stage.answers and stage.trains))


def training_stages(model: str, source: str) -> tuple[str, ...]:
    """Return the training stages that a model needs, in order.

    Args:
        model: The model.
        source: The recipe's training.negative.source.

    Returns:
        The stages, the model's own one last; none if it is untrained.
    """
    if model in UNTRAINED:
        return ()
    table = stages_for(source)
    before = (stage for name in table[model].requires if table[name].trains for stage in training_stages(name, source))
    return tuple(dict.fromkeys((*before, model)))


def trained_by(command: str) -> tuple[str, ...]:
    """Return the stages that a command trains, in order."""
    return tuple(stage.name for stage in TRAINING if stage.command == command)


def with_prerequisites(names: Iterable[str], source: str) -> tuple[str, ...]:
    """Return stages in order, each after the baselines and auxiliary stages that it requires.

    Stages of the method that are required are not added: they are trained by their own commands.

    Args:
        names: The stages.
        source: The recipe's training.negative.source.
    """
    table = stages_for(source)
    found: dict[str, None] = {}
    for name in names:
        required = [other for other in table[name].requires if table[other].kind is not Kind.TRAINING]
        found |= dict.fromkeys((*with_prerequisites(required, source), name))
    return tuple(found)
