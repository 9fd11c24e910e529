"""Drafts of a plan: the context of the run, and one draft per stage."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nsad_cli.config.ranker_kinds import READS_STATES, STEPS
from nsad_cli.config.stages import STUDENT, UNTRAINED
from nsad_cli.generation.sampler import Sampling
from nsad_cli.inference.sampling import greedy as greedy_of
from nsad_cli.inference.sampling import sampling_key
from nsad_cli.runs.models import prompt_of
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
"""The maximum number of rationales tokenised for a mean length."""


@dataclass(frozen=True, slots=True)
class StagePlan:
    """The size of one stage and what remains to be spent on it. None means unknown or not applicable."""

    stage: str
    state: str
    """`done` or `to do`."""
    samples: int
    """The number of draws, examples, pairs (ranker) or chains (evaluations)."""
    tokens: int | None
    """Tokens trained on or generated."""
    lora_parameters: int = 0
    """Trained parameters; a ranker's include its head, an encoder's are all of its parameters."""
    unit_parameters: int = 0
    memory_gib: float | None = None
    seconds: float | None = 0.0
    calls: int = 0
    """Requests to the teacher."""
    cost: float | None = 0.0
    reused: int = 0
    """Samples that are already stored."""
    steps: int | None = None
    """Optimizer steps of a training stage."""
    warmup_steps: int | None = None
    own_samples: int = 0
    """Chains of the run's own models that are sampled for the stage's training data; not counted in `samples`."""
    own_tokens: int = 0
    own_seconds: float | None = 0.0
    """The part of `seconds` that sampling own chains takes."""
    estimated: tuple[str, ...] = ()
    """Which of samples and tokens are estimates; memory and seconds always are."""


@dataclass
class StageDraft:
    """The draft of a stage.

    Attributes:
        stage: Its name.
        done: Whether the run has finished it with these settings.
        samples: The number of draws, examples, pairs or chains.
        tokens: Tokens trained on or generated.
        work: Tokens by the kind of step whose speed is measured (see throughput.Speeds).
        own_work: The same for sampling chains of the run's own models as training data.
        more: Further fields of the StagePlan.
    """

    stage: str
    done: bool
    samples: float
    tokens: float | None
    work: dict[str, float] = field(default_factory=dict)
    own_work: dict[str, float] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def to_plan(self, speeds: Speeds | None) -> StagePlan:
        """Convert the draft to a plan, with seconds from the measured speeds."""
        more = dict(self.more)
        if self.work and not self.done:
            own, rest = (_seconds(work, speeds) for work in (self.own_work, self.work))
            more["seconds"] = None if own is None or rest is None else round(own + rest, 1)
            more["own_seconds"] = None if own is None else round(own, 1)
        return StagePlan(
            self.stage,
            "done" if self.done else "to do",
            round(self.samples),
            None if self.tokens is None else round(self.tokens),
            **more,
        )


def _seconds(work: dict[str, float], speeds: Speeds | None) -> float | None:
    return None if speeds is None else sum(tokens / getattr(speeds, kind) for kind, tokens in work.items())


@dataclass
class PlanContext:
    """The data that a plan is made from.

    Attributes:
        run: A copy of the run's records in a temporary folder.
        source: The run itself, which is only read.
        force: Plan every stage as if none were done.
        ahead: The state of collecting and grading.
        leaks: Training problems that overlap with the evaluation.
        session: Models without weights.
        student: The student without weights.
        footprint: Sizes of the student and its adapters.
        encoder: Size of the ranker's own model, if it has one.
        corpus: The actual or forecast rationales for training.
        prompt, completion: Mean tokens of a prompt and of a completion.
        drafts: Stages by name, in planning order.
        notes: Notes to print below the plan.
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
        """The planned recipe."""
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
        """The number of rationales that each rationale of the corpus represents."""
        return self.ahead.forecast.scale

    def _mean_tokens(self) -> tuple[float, float]:
        items = (self.corpus.positive or self.corpus.negative)[:MAX_LENGTH_SAMPLES]
        if not items:
            return 1.0, 1.0
        prompts = sum(len(self.student.prompt_ids(item.problem.question)) for item in items)
        completions = sum(len(self.student.completion_ids(item.text)) for item in items)
        return prompts / len(items), completions / len(items)

    def tokens(self, question: str, text: str) -> int:
        """Count the tokens of a question with a solution."""
        return len(self.student.prompt_ids(question)) + len(self.student.completion_ids(text))

    def prompt_tokens(self, model: str) -> float:
        """Return the tokens of a prompt of a model; few-shot prompts include the demonstrations."""
        shown = replace(self.student, **prompt_of(self.recipe, model))
        return self.prompt + len(shown.prompt_ids("")) - len(self.student.prompt_ids(""))

    def chain_tokens(self, model: str) -> float:
        """Return the expected tokens of a chain: the maximum for the untrained student, which rarely stops."""
        most = self.recipe.sampling.max_new_tokens
        return most if model == UNTRAINED[0] else min(self.completion, most)

    def cached_chains(
        self, model: str, problems: Sequence[Problem], indices: Sequence[int], *, greedy: bool = False
    ) -> int:
        """Count stored chains of a model; 0 if the plan trains it again."""
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
        """Return the cost of a ranker's forward pass, relative to one of the student."""
        return self.encoder.parameters / self.footprint.base if self.encoder is not None else 1.0

    def scoring_pass(self, model: str) -> float:
        """Return the cost of scoring a chain, relative to a forward pass of the student; 0 if it needs none."""
        kind = self.recipe.training.ranker.kind
        free = kind == STEPS or (kind in READS_STATES and model == STUDENT.name)
        return 0.0 if free else self.ranker_pass()


def sequences_at_once(settings: StageConfig, length: float) -> int:
    """Return the number of sequences of a length that are in memory at once: those of a step that fit into a pack."""
    return max(1, min(settings.batch_size, int(settings.pack_tokens / length)))
