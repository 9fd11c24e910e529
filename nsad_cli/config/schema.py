"""The schema of a recipe: every setting of a run, typed and validated; torch is not imported.

Precedence, lowest first: the user's config file, the recipe, NSAD_… variables, flags.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from nsad_cli.config.choices import Dtype, RankerObjective, Rule, Tracker, Weights, is_device
from nsad_cli.config.engine_spec import parse_engine
from nsad_cli.config.ranker_kinds import COMBINED
from nsad_cli.config.stages import NAT, NCE, UNTRAINED, LearnsFrom, Stage, models, stages
from nsad_cli.errors import UsageError, did_you_mean
from nsad_cli.utils.api_keys import address_has_secret

INSTRUCTION = "{question}\n\nSolve this step by step, briefly. End with one line of the form: The answer is X."
TEMPLATE = "Question: {question}\nAnswer:\n"


class Section(BaseModel):
    """Base class of a recipe's sections: unknown keys are errors, instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
    added_later: ClassVar[dict[str, Any]] = {}
    """Settings that later versions added, with the value that earlier versions behave by."""

    def key_values(self) -> dict[str, Any]:
        """Return the values for a stage's key; an added setting counts only if it changes what earlier versions do."""
        values = self.model_dump(mode="json")
        return {
            name: value
            for name, value in values.items()
            if name not in self.added_later or value != self.added_later[name]
        }


def _known_device(device: str) -> str:
    if not is_device(device):
        raise ValueError("a device is auto, cpu, mps, cuda or cuda:N")
    return device


DeviceName = Annotated[str, AfterValidator(_known_device)]


def _known_engine(spec: str) -> str:
    try:
        parsed = parse_engine(spec)
    except UsageError as error:
        raise ValueError(f"{error.why}; {error.fix}") from None
    if parsed.served:
        raise ValueError("servers are asked for each model by its name in the run (nat, nce): write server@URL")
    if any(map(address_has_secret, parsed.urls)):
        raise ValueError("a URL must not contain a key or password: set OPENAI_API_KEY")
    return spec


EngineName = Annotated[str, AfterValidator(_known_engine)]


class StudentConfig(Section):
    """The student: the small model that is trained."""

    model: str = "smollm2"
    """smollm2, a folder, or a Hub id with an optional @REVISION."""
    device: DeviceName = "auto"
    """The device: auto, cpu, mps, cuda or cuda:N. auto takes CUDA, then MPS, then the CPU."""
    dtype: Dtype = "auto"
    """The type of the base's weights: auto, float32, bfloat16 or float16; auto resolves to bfloat16 where it is
    fast."""
    engine: Literal["auto", "hf", "vllm"] = "auto"
    """Samples the run's chains: hf (transformers), vllm, or auto.

    `auto` is vLLM on CUDA if it is installed, else transformers. A run keeps the choice that it was created with.
    """
    load_in_4bit: bool = False
    """Load the frozen base's linear layers in 4 bits (NF4, by bitsandbytes); adapters are not quantized."""
    template: str = TEMPLATE
    """The prompt with {question}, or `chat` for the tokenizer's own chat template."""

    @property
    def sampled_by(self) -> str:
        """The engine; a run of an earlier version has stored `auto`, and samples with transformers."""
        return "hf" if self.engine == "auto" else self.engine

    @model_validator(mode="after")
    def _template_contains_question(self) -> StudentConfig:
        if self.template != "chat" and "{question}" not in self.template:
            raise ValueError("student.template must contain {question}, or be `chat`")
        return self

    @model_validator(mode="after")
    def _engine_reads_the_weights(self) -> StudentConfig:
        if self.load_in_4bit and self.engine == "vllm":
            raise ValueError("student.engine cannot be vllm with student.load_in_4bit: it would load other weights")
        return self


class Demonstration(Section):
    """A few-shot example: a question with its solution."""

    question: str = ""
    """The question of a demonstration."""
    solution: str = ""
    """Its solution."""

    @field_validator("question", "solution")
    @classmethod
    def _not_empty(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("a demonstration needs both a question and a solution")
        return text.strip()


class ProblemsConfig(Section):
    """The training problems; a recorded teacher has its own and needs no spec."""

    train: str | None = None
    """The training problems, as NAME[:SPLIT][@PATH]. Unset: those of a recorded or built-in teacher."""
    limit: int | None = Field(default=None, ge=1)
    """The maximum number of training problems; unset: all of them."""


class PriceConfig(Section):
    """The price in US dollars per million tokens; unset values come from the price list."""

    input: float | None = Field(default=None, ge=0)
    """The price of prompt tokens. Unit: US dollars per million tokens."""
    output: float | None = Field(default=None, ge=0)
    """The price of completion tokens. Unit: US dollars per million tokens."""


class UntilConfig(Section):
    """The number of right and wrong rationales to reach for every problem, and the maximum draws per problem."""

    positives: int = Field(default=1, ge=0)
    """The number of right rationales to reach for each problem."""
    negatives: int = Field(default=1, ge=0)
    """The number of wrong rationales to reach for each problem."""
    max_draws: int = Field(default=32, ge=1)
    """The maximum number of samples for each problem."""


class TeacherConfig(Section):
    """The source of rationales, and `draws`, the number of rationales per problem."""

    spec: str = "arithmetic"
    """The teacher: a model's name, hf:PATH, vllm:PATH, tdg:PATH, gsm8k-solutions:PATH, jsonl:PATH or
    arithmetic[:WORLD]."""
    draws: int = Field(default=8, ge=1)
    """The number of rationales for each problem."""
    temperature: float = Field(default=0.7, ge=0, allow_inf_nan=False)
    """The temperature of sampling."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """The probability mass that nucleus sampling keeps; 1 keeps all tokens."""
    max_tokens: int = Field(default=1024, ge=1)
    """The maximum length of a rationale. Unit: tokens."""
    base_url: list[str] = []
    """The URLs of OpenAI-compatible servers, used in parallel; empty: OpenAI's own."""
    api_key_env: str = "OPENAI_API_KEY"
    """The name of the environment variable with the API key; the key itself is never in a recipe."""
    concurrency: int = Field(default=16, ge=1)
    """The maximum number of in-flight requests per server."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """The rate limit per server; unset: only the server's own limits apply. Unit: requests per minute."""
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """The rate limit per server; unset: only the server's own limits apply. Unit: tokens per minute."""
    timeout: float = Field(default=300, gt=0)
    """The timeout of a request. Unit: seconds."""
    price: PriceConfig | None = None
    """If unset, the prices of OpenAI's own models come from the package genai-prices."""
    batch: bool = False
    """Whether to use OpenAI's Batch API: half the price, results within a day."""
    max_cost: float | None = Field(default=None, gt=0)
    """A hard limit on the cost of one command. Unit: US dollars."""
    until: UntilConfig | None = None
    """If set, keep sampling beyond `draws` for problems that lack right or wrong rationales."""
    prompt: str = INSTRUCTION
    """The prompt with {question}; the model's chat template, if it has one, is applied to the result."""
    demonstrations: list[Demonstration] = []
    """Few-shot examples in the teacher's prompt."""
    device: DeviceName = "auto"
    """The device of local teachers (hf:, vllm:)."""

    @field_validator("prompt")
    @classmethod
    def _prompt_contains_question(cls, prompt: str) -> str:
        if "{question}" not in prompt:
            raise ValueError("teacher.prompt must contain {question}")
        return prompt

    @field_validator("api_key_env")
    @classmethod
    def _is_variable_name(cls, name: str) -> str:
        """Reject anything that may be a key, because the name is printed if the variable is unset."""
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
            raise ValueError("it must be the name of the variable with the key, in capitals, like OPENAI_API_KEY")
        return name

    @model_validator(mode="after")
    def _max_draws_covers_draws(self) -> TeacherConfig:
        if self.until is not None and self.until.max_draws < self.draws:
            raise ValueError(f"teacher.until.max_draws ({self.until.max_draws}) is below teacher.draws ({self.draws})")
        return self

    @field_validator("base_url")
    @classmethod
    def _urls_have_no_credentials(cls, urls: list[str]) -> list[str]:
        """Reject URLs with credentials, because URLs are stored and printed."""
        for url in urls:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("a base URL must be http(s)://HOST[:PORT]/PATH")
            if address_has_secret(url):
                raise ValueError("a base URL must not contain a key or password: set the variable of api_key_env")
        return urls


class UnitConfig(Section):
    """The integration unit: the output size of Q and K, the form of V and of the gate."""

    added_later: ClassVar[dict[str, Any]] = {"gate": "learned"}
    size: int = Field(default=128, ge=1)
    """The output size of Q and K, and the width of V's hidden layer. Source: reference code."""
    value: Literal["mlp", "identity", "delta"] = "mlp"
    """V: the paper's MLP on h±; identity (no V); delta: the MLP on the outputs of the adapters alone, normalised."""
    gate: Literal["learned", "fixed", "positive", "subtract"] = "learned"
    """The weight of the negative branch: learned in (−1/2, 1/2), as in the paper; fixed at 1/2; only positive, in
    (0, 1/2); or only negative (subtract), in (−1/2, 0)."""
    targets: list[str] | None = None
    """The modules of adapter.targets that get the unit; the others get only the positive LoRA. Unset: all of them."""


class AdapterConfig(Section):
    """The LoRA settings of every adapter of the run; defaults are the reference code's."""

    targets: list[str] | Literal["all-linear"] = ["q_proj", "v_proj"]
    """The names of the linear layers that get adapters, or all-linear. Source: reference code."""
    r: int = Field(default=8, ge=1)
    """The rank of every LoRA. Source: reference code."""
    alpha: float = Field(default=16, gt=0)
    """lora_alpha; a LoRA's output is scaled by alpha / r. Source: reference code."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """The dropout probability of a LoRA's input. Source: reference code."""
    unit: UnitConfig = UnitConfig()


class StageConfig(Section):
    """The training settings of one stage; defaults are the reference code's for the negative adapter and NAT."""

    epochs: float = Field(default=20, gt=0)
    """Passes over the stage's examples. Source: reference code."""
    tokens: int | None = Field(default=None, ge=1)
    """The number of tokens (prompt and completion) to train on, instead of epochs; the last step may exceed it. Unit:
    tokens."""
    batch_size: int = Field(default=128, ge=1)
    """Sequences (for the ranker: pairs) per step, over all processes. Source: reference code."""
    pack_tokens: int = Field(default=4096, ge=1)
    """The maximum size of a forward pass: a step's sequences are packed up to it, without padding. Unit: tokens."""
    share_prompts: bool = False
    """Whether rationales of the same problem are adjacent in the plan and share the computation of their prompt."""
    learning_rate: float = Field(default=3e-4, gt=0)
    """The highest learning rate; it falls linearly to zero after the warm-up. Source: reference code."""
    warmup_steps: int | None = Field(default=None, ge=0)
    """The length of the linear warm-up; unset: 10 % of the stage's steps, at most 200. Unit: steps."""
    max_chars: int = Field(default=1600, ge=1)
    """Longer examples (question and rationale together) are excluded. Unit: characters. Source: reference code."""
    max_examples: int | None = Field(default=None, ge=1)
    """The maximum number of examples; unset: all of them."""
    checks: int = Field(default=4, ge=1)
    """How often the held-out loss is measured, including the last step; see training.keep."""


class NegativeConfig(StageConfig):
    """The negative adapter, and where its wrong rationales come from."""

    added_later: ClassVar[dict[str, Any]] = {"source": "teacher", "own_samples": 8}
    source: Literal["teacher", "own", "random", "none"] = "teacher"
    """teacher: D−, as in the paper. own: wrong chains of the student after training on D+. random and none: nothing is
    trained; the weights are random, of a trained adapter's size, or zero. The last three are not the paper's."""
    own_samples: int = Field(default=8, ge=1)
    """Chains per training problem that are sampled for source: own."""

    def key_values(self) -> dict[str, Any]:
        """See Section.key_values; own_samples counts for source: own alone."""
        values = super().key_values()
        return values if self.source == "own" else {key: v for key, v in values.items() if key != "own_samples"}


class NceConfig(StageConfig):
    """NCE: a fresh LoRA student, distilled from NAT and calibrated against the negative adapter."""

    batch_size: int = Field(default=8, ge=1)
    """Sequences per step, over all processes. Source: reference code (8 processes with one sequence each)."""
    max_chars: int = Field(default=1200, ge=1)
    """Longer examples (question and rationale together) are excluded. Unit: characters. Source: reference code."""
    lam: float = Field(default=0.5, ge=0, le=1)
    """λ: the weight of the distillation loss. Source: arXiv 2312.12832."""
    beta: Literal["sequence", "token"] = "sequence"
    """β for a whole sequence, as in the paper, or for each token."""
    self_samples: int = Field(default=0, ge=0)
    """NAT's own chains per training problem; right ones are added to D+, as in the paper."""


class RankerConfig(StageConfig):
    """The ranker, which weights the student's chains in a vote.

    head, probe and encoder are trained on pairs of a right and a wrong chain of the student for the same problem. A
    probe and a combined ranker are fitted to their optimum and ignore the settings of training steps (epochs,
    batch_size, learning_rate …).
    """

    added_later: ClassVar[dict[str, Any]] = {
        "split": None,
        "teacher_rationales": True,
        "chains_of": NCE.name,
        "calibrate": True,
        "human_solutions": False,
        "pairs": "fixed",
        "head": "linear",
    }
    kind: str = COMBINED
    """combined: a logistic model on log-probabilities, step checks and hidden states. steps: step checks only. head: a
    LoRA and a head on the student's base. implicit-prm: the log-likelihood ratio of a LoRA to the student. probe: a
    linear head on the student's hidden states. encoder: a separate model. Plugins may add kinds (entry-point group
    nsad.rankers)."""
    split: int | None = Field(default=None, ge=0)
    """Problems that no stage but the ranker sees: combined rankers are fitted, and all are calibrated, on them. 0 uses
    training problems, as the paper does. Unset: 96 for a combined ranker, else 0; at most a quarter of the problems."""
    objective: RankerObjective = "power"
    """The reference code's power loss, Bradley–Terry, or binary cross-entropy."""
    model: str = ""
    """The encoder: a folder or Hub id of a sequence classifier or T5 encoder (the reference code uses flan-t5)."""
    epochs: float = Field(default=5, gt=0)
    """Passes over the pairs. Source: reference code."""
    batch_size: int = Field(default=8, ge=1)
    """Pairs per step, over all processes."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """The highest learning rate; it falls linearly to zero. Source: reference code."""
    max_chars: int = Field(default=2000, ge=1)
    """Longer chains (with their question) are excluded. Unit: characters."""
    problems: int = Field(default=200, ge=1)
    """The number of training problems to sample chains for."""
    samples: int = Field(default=8, ge=1)
    """Chains per problem."""
    chains_of: Literal["nce", "nat"] = NCE.name  # type: ignore[assignment]  # a name of the table
    """The model that the chains are sampled from."""
    min_pairs: int = Field(default=100, ge=1)
    """With fewer pairs from the student's own chains there is a warning, and see teacher_rationales."""
    teacher_rationales: bool = False
    """Whether the teacher's rationales are added if the student's own chains give fewer than min_pairs pairs."""
    calibrate: bool = True
    """Whether scores are calibrated to probabilities."""
    human_solutions: bool = False
    """Whether human solutions join the right chains, as in the paper."""
    pairs: Literal["fixed", "fresh"] = "fixed"
    """fixed: up to pairs_per_problem pairs of each problem, seen in every epoch. fresh: a random pair of each problem
    per epoch, as in the paper."""
    head: Literal["linear", "residual"] = "linear"
    """The head of a T5 encoder; residual: two residual ELU layers before the linear one, as in the paper."""
    pairs_per_problem: int = Field(default=4, ge=1)
    """The maximum number of pairs of each problem for pairs: fixed."""


class TrainingConfig(Section):
    """A section per stage; `held_out` is the fraction of training problems used only to measure the held-out loss."""

    keep: Literal["best", "last"] = "best"
    """The weights of an adapter that are used: those of the lowest held-out loss, or those of the last step."""
    held_out: float = Field(default=0.05, ge=0, lt=1)
    """0 trains on all problems, which requires keep: last."""
    max_held_out: int = Field(default=100, ge=1)
    """The maximum number of held-out rationales that the held-out loss is measured on."""
    keep_overlap: bool = False
    """Whether to train also on problems that overlap with the evaluation benchmarks (`nsad stats --overlap`)."""
    max_right: int | None = Field(default=None, ge=1)
    """The maximum number of the teacher's right rationales that are trained on, the same ones in every stage: for
    studies of what wrong rationales add to few right ones. Human solutions and own chains are added to them."""
    drop_wrong_steps: bool = False
    """Whether to keep right rationales that contain a wrong step (`5 * 4 = 24`) out of D+."""
    baseline_human_solutions: bool = False
    """Whether the baselines nt, ul and cl learn from the human solutions beside D+, as in the paper."""
    negative: NegativeConfig = NegativeConfig()
    nat: StageConfig = StageConfig()
    nce: NceConfig = NceConfig()
    ranker: RankerConfig = RankerConfig()
    baseline: dict[str, Any] = {}
    """Stage settings of all baselines that differ from NAT's (for self-distillation: from NCE's)."""

    @field_validator("baseline")
    @classmethod
    def _baseline_has_stage_settings(cls, values: dict[str, Any]) -> dict[str, Any]:
        for key in values:
            if key not in StageConfig.model_fields:
                raise ValueError(f"unknown key `{key}`; {did_you_mean(key, StageConfig.model_fields)}")
        checked = StageConfig.model_validate(values)
        return {key: getattr(checked, key) for key in values}

    def own_samples(self, stage: Stage) -> int:
        """Return the number of own chains per training problem that a stage learns from beside the teacher's."""
        if stage.samples_from is None or stage.adapter == "scorer":
            return 0
        return self.negative.own_samples if stage.learns_from is LearnsFrom.OWN_WRONG else self.nce.self_samples

    def of(self, stage: str) -> StageConfig:
        """Return the settings of a stage or baseline."""
        entry = stages()[stage]
        if entry.section == stage:
            settings: StageConfig = getattr(self, stage)
            return settings
        defaults: StageConfig = getattr(self, entry.defaults)
        settings = defaults.model_copy(update=self.baseline)
        if entry.learning_rate_factor == 1:
            return settings
        return settings.model_copy(update={"learning_rate": settings.learning_rate * entry.learning_rate_factor})


class SamplingConfig(Section):
    """The sampling parameters of the student's chains."""

    temperature: float = Field(default=0.7, gt=0)
    """The temperature of sampling."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """The probability mass that nucleus sampling keeps; 1 keeps all tokens."""
    max_new_tokens: int = Field(default=256, ge=1)
    """The maximum length of a chain. Unit: tokens."""
    batch_size: int = Field(default=32, ge=1)
    """The number of chains that are decoded together."""
    engine: EngineName | None = None
    """The engine of the chains that training needs, NAT's own and the ranker's: hf, vllm, server@URL[,URL], or ray.

    Unset, student.engine. vLLM and a local Ray cluster are started for a stage's chains and ended before the stage
    trains. Servers must serve the model that the run has just trained, under its name in the run.
    """

    def key_values(self) -> dict[str, Any]:
        """See Section.key_values; the engine counts by its name, without URLs, and where it samples."""
        return {name: value for name, value in super().key_values().items() if name != "engine"}


class SolveConfig(Section):
    """The voting rule and the number of chains of `solve`."""

    rule: Rule = "asc"
    """How chains vote: sc, wsc, asc, asc-add, asc-add2 or best."""
    samples: int = Field(default=8, ge=1)
    """The number of chains for each problem."""
    weights: Weights = "fitted"
    """How a ranker's scores weight votes. fitted: with the exponent that made votes most accurate on the ranker's
    problems. calibrated: the probability that the chain is right. raw: the score without calibration."""


class EvaluationConfig(Section):
    """The evaluations before training (base) and after it (the other models)."""

    benchmarks: list[str] = []
    """The benchmarks, as NAME[:SPLIT][@PATH]."""
    limit: int | None = Field(default=None, ge=1)
    """The first N problems of each benchmark; unset: all of them."""
    samples: int = Field(default=4, ge=0)
    """Chains per problem for the votes; 0 measures greedy answers only."""
    models: list[str] = [UNTRAINED[0], NAT.name, NCE.name]
    """The models that are measured: base before training, the others after it."""
    engine: EngineName | None = None
    """The engine of the chains that are evaluated; see sampling.engine. Unset, student.engine."""
    demonstrations: list[Demonstration] | None = None
    """The few-shot examples of the model `few-shot`; unset, four built-in ones."""

    @field_validator("models")
    @classmethod
    def _models_are_known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in models():
                hint = did_you_mean(name, models())
                raise ValueError(f"unknown model `{name}`; {hint + ' ' if hint else ''}models: {', '.join(models())}")
        return names

    @field_validator("demonstrations")
    @classmethod
    def _has_demonstrations(cls, demonstrations: list[Demonstration] | None) -> list[Demonstration] | None:
        if demonstrations == []:
            raise ValueError("few-shot needs at least one; omit the setting to use the four built-in ones")
        return demonstrations


class RayConfig(Section):
    """What an actor of the engine ray takes of its node; no part of any key."""

    cpus: float | None = Field(default=None, gt=0)
    """The cores of an actor. Unset: all of a node without GPUs, and an equal share for each GPU of others."""
    gpus: float | None = Field(default=None, ge=0)
    """The GPUs of an actor. Unset: one on nodes that have any, unless student.device is cpu."""


class Recipe(Section):
    """All settings of a run, from problems to report."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The run's default name; if unset, the name of the recipe file."""
    seed: int = 0
    """The seed of every random choice of the run."""
    report_to: list[Tracker] = []
    """Trackers that get every stage's metrics, each by an extra of its name. They change no stage's key."""
    student: StudentConfig = StudentConfig()
    problems: ProblemsConfig = ProblemsConfig()
    teacher: TeacherConfig = TeacherConfig()
    adapter: AdapterConfig = AdapterConfig()
    training: TrainingConfig = TrainingConfig()
    sampling: SamplingConfig = SamplingConfig()
    solve: SolveConfig = SolveConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    ray: RayConfig = RayConfig()

    @property
    def sampling_engine(self) -> str:
        """The engine of the chains that training needs."""
        return self.sampling.engine or self.student.sampled_by

    @property
    def evaluation_engine(self) -> str:
        """The engine of the chains that are evaluated."""
        return self.evaluation.engine or self.student.sampled_by

    @model_validator(mode="after")
    def _engines_read_the_weights(self) -> Recipe:
        for section in (self.sampling, self.evaluation):
            if self.student.load_in_4bit and section.engine and parse_engine(section.engine).kind == "vllm":
                raise ValueError("the engine vllm does not support student.load_in_4bit: it would load other weights")
        return self

    @model_validator(mode="after")
    def _random_weights_have_a_size(self) -> Recipe:
        if self.student.load_in_4bit and self.training.negative.source == "random":
            raise ValueError(
                "training.negative.source: random needs the base's weights, which student.load_in_4bit packs"
            )
        return self
