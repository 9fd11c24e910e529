"""A plan in the making: what it knows of the run, and one draft per stage."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nsad_cli.config import prompts
from nsad_cli.config.ranker_kinds import PROBE
from nsad_cli.config.stages import STUDENT, UNTRAINED
from nsad_cli.generation.sampler import Sampling
from nsad_cli.inference.sampling import greedy as greedy_of
from nsad_cli.inference.sampling import sampling_key
from nsad_cli.store.chains import ChainStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.config.schema import Recipe, StageConfig
    from nsad_cli.inference.session import Session
    from nsad_cli.models.student import Student
    from nsad_cli.pipeline.forecast import Ahead
    from nsad_cli.pipeline.memory import EncoderFootprint, Footprint
    from nsad_cli.pipeline.throughput import Speeds
    from nsad_cli.problems.decontamination import Leaks
    from nsad_cli.runs.run import Run
    from nsad_cli.training.stage_data import Corpus
    from nsad_cli.types import Problem

MAX_LENGTH_SAMPLES = 200
"""Rationales whose tokens are counted for a mean length, at most."""


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage: its size, and what is still to be spent on it. None is unknown, or nothing that the stage has."""

    stage: str
    state: str
    """done, or to do."""
    samples: int
    """Draws, examples, pairs (ranker) or chains (evaluations)."""
    tokens: int | None
    """Tokens trained on or written."""
    lora_parameters: int = 0
    """Trained ones; the ranker's are its head's too, and an encoder's all."""
    unit_parameters: int = 0
    memory_gib: float | None = None
    seconds: float | None = 0.0
    calls: int = 0
    """Requests to the teacher."""
    cost: float | None = 0.0
    reused: int = 0
    """Samples that are kept already."""
    estimated: tuple[str, ...] = ()
    """Which of samples and tokens are estimates; memory and seconds always are."""


@dataclass
class StageDraft:
    """The draft of a stage.

    Attributes:
        stage: its name.
        done: whether the run has finished it with these settings.
        samples: samples, examples, pairs or chains.
        tokens: tokens trained on or written.
        work: tokens by the kind of step whose speed is measured (see throughput.Speeds).
        more: further fields of the StagePlan.
    """

    stage: str
    done: bool
    samples: float
    tokens: float | None
    work: dict[str, float] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def to_plan(self, speeds: Speeds | None) -> StagePlan:
        """The stage's plan, with the seconds that the measured speeds give."""
        more = dict(self.more)
        if self.work and not self.done:
            more["seconds"] = (
                round(sum(tokens / getattr(speeds, kind) for kind, tokens in self.work.items()), 1) if speeds else None
            )
        return StagePlan(
            self.stage,
            "done" if self.done else "to do",
            round(self.samples),
            None if self.tokens is None else round(self.tokens),
            **more,
        )


@dataclass
class PlanContext:
    """What a plan knows of a run.

    Attributes:
        run: a copy of the run's records in a temporary folder.
        source: the run itself, which is only read.
        force: plan every stage as if none were done.
        ahead: what collecting and grading have done and will do.
        leaks: training problems that overlap with the evaluation.
        session: models without weights.
        student: the student without weights.
        footprint: sizes of the student and its adapters.
        encoder: size of the ranker's own model, if it has one.
        corpus: the (forecast) rationales that training learns from.
        prompt, completion: mean tokens of a prompt and of a completion.
        drafts: stages by name, in the order in which they were planned.
        notes: what the reader of the plan should know.
    """

    run: Run
    source: Run
    force: bool
    ahead: Ahead
    leaks: Leaks
    session: Session
    footprint: Footprint
    encoder: EncoderFootprint | None
    corpus: Corpus
    prompt: float = 0.0
    completion: float = 0.0
    drafts: dict[str, StageDraft] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.prompt, self.completion = self._mean_tokens()

    @property
    def recipe(self) -> Recipe:
        """The recipe that is planned."""
        return self.session.recipe

    @property
    def student(self) -> Student:
        """The student without weights."""
        return self.session.reader

    @property
    def length(self) -> float:
        """Mean tokens of a prompt with its completion."""
        return self.prompt + self.completion

    @property
    def scale(self) -> float:
        """How many rationales each one of the corpus stands for."""
        return self.ahead.forecast.scale

    def _mean_tokens(self) -> tuple[float, float]:
        items = (self.corpus.positive or self.corpus.negative)[:MAX_LENGTH_SAMPLES]
        if not items:
            return 1.0, 1.0
        prompts = sum(len(self.student.prompt_ids(item.problem.question)) for item in items)
        completions = sum(len(self.student.completion_ids(item.text)) for item in items)
        return prompts / len(items), completions / len(items)

    def tokens(self, question: str, text: str) -> int:
        """Tokens of a question with a solution."""
        return len(self.student.prompt_ids(question)) + len(self.student.completion_ids(text))

    def prompt_tokens(self, model: str) -> float:
        """Tokens of one prompt of a model; few-shot's contains the demonstrations."""
        if model != prompts.FEW_SHOT:
            return self.prompt
        shown = replace(self.student, demonstrations=prompts.few_shot_demonstrations(self.recipe.evaluation))
        return self.prompt + len(shown.prompt_ids("")) - len(self.student.prompt_ids(""))

    def chain_tokens(self, model: str) -> float:
        """Tokens of one chain of a model: the untrained student seldom ends by itself, others end as taught."""
        most = self.recipe.sampling.max_new_tokens
        return most if model == UNTRAINED[0] else min(self.completion, most)

    def cached_chains(
        self, model: str, problems: Sequence[Problem], indices: Sequence[int], *, greedy: bool = False
    ) -> int:
        """Count chains that need not be sampled again: those of a model whose weights stay as they are."""
        if model not in UNTRAINED and not (model in self.drafts and self.drafts[model].done):
            return 0
        sampling = Sampling.of(self.recipe.sampling)
        key = {
            "model": model,
            "model_key": self.session.model_key(model),
            "sampling": sampling_key(greedy_of(sampling) if greedy else sampling, self.recipe.seed),
        }
        with ChainStore(self.run.chains_path) as store:
            return sum(len(store.get_if_complete(problem.id, indices, **key)) for problem in problems)

    def ranker_pass(self) -> float:
        """Cost of a token in the ranker, in passes of the student."""
        return self.encoder.parameters / self.footprint.base if self.encoder is not None else 1.0

    def scoring_pass(self, model: str) -> float:
        """Cost of scoring one token of a model's chain, in passes of the student; a probe scores while sampling."""
        probed = self.recipe.training.ranker.kind == PROBE and model == STUDENT.name
        return 0.0 if probed else self.ranker_pass()


def sequences_at_once(settings: StageConfig, length: float) -> int:
    """Sequences of a length that are in memory together: those of a step, if a pack holds them."""
    return max(1, min(settings.batch_size, int(settings.pack_tokens / length)))
