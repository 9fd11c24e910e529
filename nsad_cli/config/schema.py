"""A recipe: every setting of a run, typed and validated; no torch.

Layers, later ones win: the user's config file, the recipe, flags (whose own defaults come from NSAD_… variables).
"""

from __future__ import annotations

import re
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from nsad_cli.config.ranker_kinds import ENCODER, HEAD, PROBE, ranker_kinds
from nsad_cli.config.stages import NAT, NCE, UNTRAINED, models, stages
from nsad_cli.errors import UsageError, did_you_mean

INSTRUCTION = "{question}\n\nSolve this step by step, briefly. End with one line of the form: The answer is X."
TEMPLATE = "Question: {question}\nAnswer:\n"
Rule = Literal["sc", "wsc", "asc", "asc-add", "best"]
RankerObjective = Literal["power", "bradley-terry", "bce"]


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors, values never change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class StudentConfig(Section):
    """The small model that learns."""

    model: str = "smollm2"
    """smollm2, a folder, or a Hub id with an optional @REVISION."""
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    load_in_4bit: bool = False
    """Keep the frozen base's linear layers in 4 bits (NF4, by bitsandbytes); adapters stay whole."""
    template: str = TEMPLATE
    """The prompt around {question}, or `chat` for the tokenizer's own chat template."""

    @model_validator(mode="after")
    def _template_names_the_question(self) -> StudentConfig:
        if self.template != "chat" and "{question}" not in self.template:
            raise ValueError("student.template must contain {question}, or be `chat`")
        return self


class Demonstration(Section):
    """A question with its solution, shown before the one that is asked."""

    question: str = ""
    solution: str = ""

    @field_validator("question", "solution")
    @classmethod
    def _is_there(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("a demonstration has both a question and a solution")
        return text.strip()


class ProblemsConfig(Section):
    """The training problems; a recorded teacher brings its own and needs no spec."""

    train: str | None = None
    limit: int | None = Field(default=None, ge=1)


class PriceConfig(Section):
    """US dollars per million tokens; what is unset is the list's."""

    input: float | None = Field(default=None, ge=0)
    output: float | None = Field(default=None, ge=0)


class UntilConfig(Section):
    """Rationales that every problem is to have, and the most draws that may be spent on one."""

    positives: int = Field(default=1, ge=0)
    negatives: int = Field(default=1, ge=0)
    max_draws: int = Field(default=32, ge=1)


class TeacherConfig(Section):
    """Where rationales come from; `draws` per problem."""

    spec: str = "arithmetic"
    draws: int = Field(default=8, ge=1)
    temperature: float = Field(default=0.7, ge=0, allow_inf_nan=False)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=1024, ge=1)
    base_url: list[str] = []
    api_key_env: str = "OPENAI_API_KEY"
    """The name of the variable that holds the key; the key itself never stands in a recipe."""
    concurrency: int = Field(default=16, ge=1)
    """Requests under way at once."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """Limits of each server; unset, it is asked as fast as it lets us."""
    timeout: float = Field(default=300, gt=0)
    """Seconds to wait for one reply."""
    price: PriceConfig | None = None
    """Where unset, a maintained list's (the package genai-prices), for OpenAI's own models."""
    batch: bool = False
    """By OpenAI's Batch API: half the price, within a day."""
    max_cost: float | None = Field(default=None, gt=0)
    """US dollars that one command may spend, a hard limit."""
    until: UntilConfig | None = None
    """Draw on, past `draws`, for problems that lack a right or a wrong rationale."""
    prompt: str = INSTRUCTION
    """Around {question}; the model's chat template, where it has one, comes around both."""
    demonstrations: list[Demonstration] = []
    """Shown to the teacher before the question."""
    device: str = "auto"
    """For teachers that run here (hf:, vllm:)."""

    @field_validator("prompt")
    @classmethod
    def _prompt_names_the_question(cls, prompt: str) -> str:
        if "{question}" not in prompt:
            raise ValueError("teacher.prompt must contain {question}")
        return prompt

    @field_validator("api_key_env")
    @classmethod
    def _names_a_variable(cls, name: str) -> str:
        """A key given in its place would be shown where the variable is missing."""
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
            raise ValueError("it names the variable that holds the key, in capitals, like OPENAI_API_KEY")
        return name

    @model_validator(mode="after")
    def _goes_on_past_draws(self) -> TeacherConfig:
        if self.until is not None and self.until.max_draws < self.draws:
            raise ValueError(f"teacher.until.max_draws ({self.until.max_draws}) is below teacher.draws ({self.draws})")
        return self

    @field_validator("base_url")
    @classmethod
    def _urls_carry_no_secret(cls, urls: list[str]) -> list[str]:
        """Addresses are stored and shown; a key in one would be too."""
        for url in urls:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("a base URL is http(s)://HOST[:PORT]/PATH")
            if parts.username or parts.password or parts.query:
                raise ValueError("a base URL carries no key or password: set the variable named by api_key_env")
        return urls


class UnitConfig(Section):
    """The integration unit: d of Q and K, and V as an MLP or the identity."""

    size: int = Field(default=128, ge=1)
    value: Literal["mlp", "identity"] = "mlp"
    targets: list[str] | None = None
    """Which of adapter.targets get the unit; the others get the positive LoRA alone. Unset: all of them."""


class AdapterConfig(Section):
    """LoRA's shape, for every adapter of the run; defaults are the reference's."""

    targets: list[str] | Literal["all-linear"] = ["q_proj", "v_proj"]
    r: int = Field(default=8, ge=1)
    alpha: float = Field(default=16, gt=0)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    unit: UnitConfig = UnitConfig()


class StageConfig(Section):
    """How one stage trains; defaults are the reference's for the negative adapter and NAT."""

    epochs: float = Field(default=20, gt=0)
    tokens: int | None = Field(default=None, ge=1)
    """A budget of trained tokens (prompt and completion) in place of epochs: the step that spends it is the last."""
    batch_size: int = Field(default=128, ge=1)
    """Sequences (the ranker: pairs) of one step, over all processes."""
    pack_tokens: int = Field(default=4096, ge=1)
    """Tokens in memory at once: a step's sequences are packed end to end, without padding, up to this many."""
    share_prompts: bool = False
    """Rationales of one problem follow each other in the plan, and share their prompt's computation."""
    learning_rate: float = Field(default=3e-4, gt=0)
    warmup_steps: int = Field(default=200, ge=0)
    max_chars: int = Field(default=1600, ge=1)
    """Longer examples (question and rationale, characters) are left out."""
    max_examples: int | None = Field(default=None, ge=1)
    checks: int = Field(default=4, ge=1)
    """How often the held-out loss is measured, the last step included; the best checkpoint is kept."""


class NceConfig(StageConfig):
    """NCE: a fresh LoRA student calibrated by NAT against the negative adapter."""

    batch_size: int = Field(default=1, ge=1)
    warmup_steps: int = Field(default=1000, ge=0)
    max_chars: int = Field(default=1200, ge=1)
    lam: float = Field(default=0.5, ge=0, le=1)
    """λ: the distillation's part of the loss."""
    beta: Literal["sequence", "token"] = "sequence"
    self_samples: int = Field(default=0, ge=0)
    """NAT's own chains per training problem, the right ones of which join D+ (the paper does so)."""


class RankerConfig(StageConfig):
    """The ranker: trained on the student's own chains, in pairs of one right and one wrong from a problem.

    A probe is fitted to its optimum: how one trains by steps (epochs, batch_size, learning_rate …) is nothing to it.
    """

    kind: str = HEAD
    """head: a LoRA and a head on the student's base. probe: a head on the states that chains were written from.
    encoder: a model of its own. Plugins may add kinds (group nsad.rankers)."""
    objective: RankerObjective = "power"
    """The reference's power loss, Bradley–Terry, or binary cross-entropy."""
    model: str = ""
    """The encoder: a folder or a Hub id of a sequence classifier or T5 encoder (the reference's is a flan-t5)."""
    epochs: float = Field(default=5, gt=0)
    batch_size: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=2e-5, gt=0)
    warmup_steps: int = Field(default=0, ge=0)
    max_chars: int = Field(default=2000, ge=1)
    problems: int = Field(default=200, ge=1)
    """Training problems to sample chains for."""
    samples: int = Field(default=4, ge=1)
    """Chains per problem."""
    min_pairs: int = Field(default=100, ge=1)
    """With fewer pairs from its own chains, the teacher's rationales join them."""
    pairs_per_problem: int = Field(default=4, ge=1)


class TrainingConfig(Section):
    """One section a stage; `held_out` is the share of training problems that only choose the checkpoint."""

    held_out: float = Field(default=0.05, gt=0, lt=1)
    max_held_out: int = Field(default=100, ge=1)
    """Rationales of held-out problems that a held-out loss is measured on, at most."""
    keep_overlap: bool = False
    """Train also on problems that overlap with the run's evaluation benchmarks (`nsad stats --overlap`)."""
    negative: StageConfig = StageConfig()
    nat: StageConfig = StageConfig()
    nce: NceConfig = NceConfig()
    ranker: RankerConfig = RankerConfig()
    baseline: dict[str, Any] = {}
    """What the rivals of train-baseline do differently from NAT (self-distillation: from NCE): settings of a stage."""

    @field_validator("baseline")
    @classmethod
    def _baseline_has_a_stages_settings(cls, values: dict[str, Any]) -> dict[str, Any]:
        for key in values:
            if key not in StageConfig.model_fields:
                raise ValueError(f"unknown key `{key}`; {did_you_mean(key, StageConfig.model_fields)}")
        checked = StageConfig.model_validate(values)
        return {key: getattr(checked, key) for key in values}

    def of(self, stage: str) -> StageConfig:
        """The settings of a stage, the rivals among them."""
        entry = stages()[stage]
        if entry.section == stage:
            settings: StageConfig = getattr(self, stage)
            return settings
        defaults: StageConfig = getattr(self, entry.defaults)
        return defaults.model_copy(update=self.baseline)


class SamplingConfig(Section):
    """How the student's chains are drawn."""

    temperature: float = Field(default=0.7, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_new_tokens: int = Field(default=256, ge=1)
    batch_size: int = Field(default=32, ge=1)
    """Chains decoded together."""


class SolveConfig(Section):
    """The vote of `solve`."""

    rule: Rule = "asc"
    samples: int = Field(default=8, ge=1)


class EvaluationConfig(Section):
    """What `eval` measures, before training (base) and after (the other models)."""

    benchmarks: list[str] = []
    limit: int | None = Field(default=None, ge=1)
    samples: int = Field(default=4, ge=0)
    """Chains per problem for the votes; 0 measures greedy answers only."""
    models: list[str] = [UNTRAINED[0], NAT.name, NCE.name]
    demonstrations: list[Demonstration] | None = None
    """Shown to the untrained student by `few-shot`; unset, four built-in ones."""

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
    def _shows_something(cls, demonstrations: list[Demonstration] | None) -> list[Demonstration] | None:
        if demonstrations == []:
            raise ValueError("few-shot shows at least one; leave the setting out for the four built-in ones")
        return demonstrations


class Recipe(Section):
    """A whole run, from problems to report."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The run's name; the recipe's own name where none is given."""
    seed: int = 0
    student: StudentConfig = StudentConfig()
    problems: ProblemsConfig = ProblemsConfig()
    teacher: TeacherConfig = TeacherConfig()
    adapter: AdapterConfig = AdapterConfig()
    training: TrainingConfig = TrainingConfig()
    sampling: SamplingConfig = SamplingConfig()
    solve: SolveConfig = SolveConfig()
    evaluation: EvaluationConfig = EvaluationConfig()


def validate_recipe(values: dict[str, Any], source: str, *, whole: bool = True) -> Recipe:
    """Validate a recipe's values; `whole`: none are to come, so that settings must also fit each other.

    Raises UsageError that names the key, its place, and the nearest known key for an unknown one.
    """
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        raise _usage_error(error, source) from None
    if whole:
        _check_ranker(recipe.training.ranker, source)
    return recipe


def _check_ranker(ranker: RankerConfig, source: str) -> None:
    if ranker.kind not in (kinds := ranker_kinds()):
        raise UsageError(
            f"{source}: `training.ranker.kind` is not valid",
            f"neither nsad nor an installed package has the ranker `{ranker.kind}`",
            f"{did_you_mean(ranker.kind, kinds)} known: {', '.join(kinds)}".strip(),
        )
    if ranker.kind == ENCODER and not ranker.model:
        raise UsageError(
            f"{source}: the ranker `encoder` has no model",
            "training.ranker.kind is `encoder`, and training.ranker.model is not set",
            "name one (training.ranker.model=google/flan-t5-base, or a folder), or set kind to head or probe",
        )
    if ranker.kind in (HEAD, PROBE) and ranker.model:
        raise UsageError(
            f"{source}: the ranker `{ranker.kind}` takes no model",
            f"it is on the student's own base, and training.ranker.model is `{ranker.model}`",
            "empty it (--set \"training.ranker.model=''\"), or set training.ranker.kind to encoder",
        )


def _usage_error(error: ValidationError, source: str) -> UsageError:
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    more = error.error_count() - 1
    others = f" ({more} more below it)" if more else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"][:-1])
        hint = did_you_mean(str(first["loc"][-1]), known)
        fix = f"{hint} " if hint else ""
        return UsageError(
            f"{source}: unknown key `{path}`{others}",
            "no setting has this name",
            f"{fix}known here: {', '.join(sorted(known))}",
        )
    return UsageError(
        f"{source}: `{path}` is not valid{others}" if path else f"{source} is not valid",
        str(first["msg"]).removeprefix("Value error, "),
        f"correct `{path}` in the recipe" if path else "correct the recipe",
    )


def _known_keys(path: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Recipe
    for part in path:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        annotation = next((kind for kind in get_args(annotation) if kind is not type(None)), annotation)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)
