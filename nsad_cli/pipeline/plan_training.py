"""Plans of the training stages: their data, steps, parameters and memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nsad_cli.config.ranker_kinds import COMBINED, IMPLICIT_PRM, PROBE, READS_STATES, STEPS
from nsad_cli.config.stages import GRADE, LearnsFrom, Stage
from nsad_cli.pipeline.plan_draft import PlanContext, StageDraft, sequences_at_once
from nsad_cli.rankers.chain_features import NAMES
from nsad_cli.runs.base_model import is_intact
from nsad_cli.training.data import filter_by_length, question_of, sample_items
from nsad_cli.training.stage_data import CALIBRATION_SHARE, contrastive_pairs, rationales_for
from nsad_cli.training.stages import stage_key
from nsad_cli.training.step_plan import warmup_steps
from nsad_cli.types import Verdict

if TYPE_CHECKING:
    from nsad_cli.config.schema import RankerConfig, StageConfig

BOTH = ("samples", "tokens")
OWN_RIGHT_SHARE = 0.5
"""The assumed share of own chains that are right and distinct, and so join a stage's examples."""
TRL_TIME = 2.5
"""The time of TRL's padded passes, relative to ours: 2.4 (KTO) to 3.1 (DPO) for SmolLM2-135M on a CPU, one run each."""
FULL_STEP = 1.5
"""The cost of a step that trains all weights, in LoRA steps: the weight gradient is a third matrix product."""


def plan_training(context: PlanContext, stage: Stage) -> StageDraft:
    """Draft a training stage.

    Args:
        context: The plan so far, with the drafts of the stages that this one requires.
        stage: A stage that `nsad run` trains.

    Returns:
        The stage's draft.
    """
    key = stage_key(context.session, stage, context.corpus)
    required = [context.drafts[name] for name in stage.requires or (GRADE.name,)]
    settings = context.recipe.training.of(stage.name)
    scores = stage.adapter == "scorer"
    pairs = scores or stage.learns_from is LearnsFrom.PAIRS
    tokens = sequences_at_once(settings, context.length) * (2 if pairs else 1) * context.length
    tokens = min(tokens, max(stage.cost.pack, context.length)) if stage.cost.pack else tokens
    lora, unit = context.footprint.trained(stage)
    memory = context.footprint.training_gib(stage, tokens)
    if scores:
        lora, memory = _ranker_size(context, lora, memory, tokens)
    more = {"lora_parameters": lora, "unit_parameters": unit, "memory_gib": round(memory, 2)}
    if (
        all(draft.done for draft in required)
        and not context.force
        and context.run.done(stage.name, key)
        and is_intact(context.source, stage.name)
    ):
        result = context.run.stages()[stage.name]["result"]
        more |= {"steps": result.get("steps"), "warmup_steps": result.get("warmup_steps")}
        return StageDraft(stage.name, True, result["examples"], result["tokens"], more=more)
    draft = _ranker_draft(context, stage) if scores else _adapter_draft(context, stage, settings)
    if not draft.samples and stage.learns_from is not LearnsFrom.NOTHING:
        context.notes.append(f"{stage.name}: no training data: the run would stop here")
    if draft.more.get("steps") is not None:
        draft.more["warmup_steps"] = warmup_steps(settings, draft.more["steps"])
    _resume(context, draft, stage, key)
    draft.more |= more
    return draft


def _adapter_draft(context: PlanContext, stage: Stage, settings: StageConfig) -> StageDraft:
    """Draft the training of an adapter on rationales."""
    if stage.learns_from is LearnsFrom.NOTHING:
        return StageDraft(stage.name, False, 0, 0)
    recipe = context.recipe
    (examples, mean), (held_out, held_mean) = (
        _examples(context, stage, settings, held, limit)
        for held, limit in ((False, settings.max_examples), (True, recipe.training.max_held_out))
    )
    estimated = context.ahead.forecast.estimated
    own_work: dict[str, float] = {}
    own: dict[str, int] = {}
    if stage.samples_from is not None and recipe.training.own_samples(stage):
        chains, own_work, own = _own_chains(context, stage, stage.samples_from)
        joining = OWN_RIGHT_SHARE * chains
        whole = context.prompt + context.chain_tokens(stage.samples_from)
        mean = (examples * mean + joining * whole) / max(examples + joining, 1)
        examples, estimated = min(examples + joining, settings.max_examples or math.inf), True
    tokens = settings.tokens or examples * mean * settings.epochs
    work = {
        stage.cost.step: tokens,
        "forward": held_out * held_mean * settings.checks * (1 + max(stage.cost.teachers, stage.cost.passes)),
    }
    work["forward"] += stage.cost.passes * tokens
    if stage.trainer == "trl":
        work = {kind: TRL_TIME * passed for kind, passed in work.items()}
        context.notes.append(f"{stage.name}: a pass of TRL, which pads, is assumed to take {TRL_TIME:g} times as long")
    if stage.on_policy:
        chains = tokens / max(mean, 1)
        work["sampling"] = chains * context.chain_tokens(stage.name)
        work["forward"] += chains * context.prompt
        own = {"own_samples": round(chains), "own_tokens": round(work["sampling"])}
        estimated = True
        context.notes.append(f"{stage.name}: its own chains are assumed to be as long as the rationales")
    more = {"estimated": BOTH if estimated else (), "steps": _steps(settings, examples, mean), **own}
    return StageDraft(stage.name, False, examples, tokens, work, own_work, more)


def _examples(
    context: PlanContext, stage: Stage, settings: StageConfig, held_out: bool, limit: int | None
) -> tuple[float, float]:
    """Count the training or held-out examples of a stage.

    Returns:
        Their number, and their mean length in tokens.
    """
    corpus, seed, scale = context.corpus, context.recipe.seed, context.scale
    most = (None if held_out else context.recipe.training.max_right) or math.inf
    if stage.learns_from is LearnsFrom.PAIRS:
        pairs = contrastive_pairs(corpus, context.student, settings.max_chars, seed, held_out)
        count = min(len(pairs) * scale, most)
        lengths = [len(pair) for pair in sample_items(pairs, limit, seed)]
    else:
        usable = filter_by_length(rationales_for(stage, corpus), settings.max_chars)
        part = [item for item in usable if (item.problem.id in corpus.held_out) == held_out]
        chosen = sample_items(part, limit, seed)
        right = 0 if stage.learns_from is LearnsFrom.SOLUTIONS else sum(i.verdict is Verdict.CORRECT for i in part)
        count = min(right * scale, most) + (len(part) - right) * scale
        lengths = [context.tokens(question_of(item, labels=stage.labels), item.text) for item in chosen]
    return min(count, limit or math.inf), sum(lengths) / max(len(lengths), 1)


def _own_chains(context: PlanContext, stage: Stage, model: str) -> tuple[float, dict[str, float], dict[str, int]]:
    """Count the chains that a model samples on the training problems, which join a stage's data if they are right.

    Returns:
        The number of chains, the tokens of the missing ones by kind of step, and further fields of the StagePlan.
    """
    corpus, samples = context.corpus, context.recipe.training.own_samples(stage)
    every = stage.learns_from is LearnsFrom.OWN_WRONG  # also of held-out problems, for the held-out loss
    problems = [problem for problem in corpus.problems() if every or problem.id not in corpus.held_out]
    chains = len(problems) * context.scale * samples
    missing = chains - context.cached_chains(model, problems, range(samples))
    context.notes.append(
        f"{stage.name}: {OWN_RIGHT_SHARE:.0%} of {model}'s {chains:,.0f} own chains are assumed to be right and "
        "distinct, and join its examples"
    )
    work = {
        "sampling": missing * context.chain_tokens(model),
        "forward": missing / samples * context.prompt,
    }
    return chains, work, {"own_samples": round(missing), "own_tokens": round(work["sampling"])}


def _steps(settings: StageConfig, examples: float, mean: float) -> int:
    """Return the optimizer steps for a number of examples of a mean length in tokens."""
    seen = settings.tokens / max(mean, 1) if settings.tokens else math.ceil(examples * settings.epochs)
    return math.ceil(seen / settings.batch_size)


def _ranker_size(context: PlanContext, parameters: int, memory: float, tokens: float) -> tuple[int, float]:
    """Return the ranker's trained parameters and its memory in GiB, by its kind."""
    footprint, settings = context.footprint, context.recipe.training.ranker
    if context.encoder is not None:
        return context.encoder.parameters, footprint.sampling_gib(0, 0) + context.encoder.training_gib(tokens)
    if settings.kind == STEPS:
        return 0, footprint.reading_gib(settings.pack_tokens)
    if settings.kind in READS_STATES:
        plain = len(NAMES) if settings.kind == COMBINED else 0
        return footprint.head + plain, footprint.reading_gib(settings.pack_tokens)
    return footprint.lora if settings.kind == IMPLICIT_PRM else parameters, memory


def _ranker_draft(context: PlanContext, stage: Stage) -> StageDraft:
    """Draft the training of a ranker on pairs of the student's own chains, half of them assumed to be right."""
    recipe, settings = context.recipe, context.recipe.training.ranker
    if settings.kind in (COMBINED, STEPS):
        return _fitted_draft(context, stage)
    share, known, student = 1 - recipe.training.held_out, context.corpus.problems(), settings.chains_of
    problems = min(settings.problems, len(known) * context.scale)
    calibrating = 0.0 if context.corpus.for_ranker or not settings.calibrate else problems * share * CALIBRATION_SHARE
    split = len(context.corpus.for_ranker) * context.scale
    pairs = _ranker_pairs(context, problems * share, calibrating)
    held_out = min(recipe.training.max_held_out, pairs * (1 - share) / share)
    probe = settings.kind == PROBE  # one forward pass per chain
    tokens = pairs * 2 * context.length * (1 if probe else settings.epochs)
    tokens = tokens if probe else settings.tokens or tokens
    read = held_out * 2 * context.length * (1 if probe else settings.checks)
    read += (calibrating + split) * settings.samples * context.length + (tokens if probe else 0)
    chosen = [*sample_items(known, settings.problems, recipe.seed), *context.corpus.for_ranker]
    cached = context.cached_chains(student, chosen, range(settings.samples))
    sampled = max(0.0, (problems + split) * settings.samples - cached)
    if cached:
        context.notes.append(f"{stage.name}: {cached} of the student's own chains are already stored")
    step = context.ranker_pass() * (FULL_STEP if context.encoder else 1)
    own_work = {
        "sampling": sampled * context.chain_tokens(student),
        "forward": sampled / settings.samples * context.prompt,
    }
    work = {stage.cost.step: 0.0 if probe else tokens * step, "forward": read * context.ranker_pass()}
    more = {
        "estimated": BOTH,
        "steps": None if probe else _steps(settings, pairs, 2 * context.length),
        "own_samples": round(sampled),
        "own_tokens": round(own_work["sampling"]),
    }
    return StageDraft(stage.name, False, pairs, tokens, work, own_work, more)


def _fitted_draft(context: PlanContext, stage: Stage) -> StageDraft:
    """Draft a ranker that is fitted to chains: it reads each one once, or not at all (steps)."""
    settings, corpus = context.recipe.training.ranker, context.corpus
    chosen = list(corpus.for_ranker)
    if not chosen and settings.kind == COMBINED:
        chosen = sample_items(corpus.problems(), settings.problems, context.recipe.seed)
    problems = min(len(chosen) * context.scale, settings.split or settings.problems) if chosen else 0.0
    cached = context.cached_chains(settings.chains_of, chosen, range(settings.samples))
    if cached:
        context.notes.append(f"{stage.name}: {cached} of the student's own chains are already stored")
    chains = problems * settings.samples
    sampled = max(0.0, chains - cached)
    tokens = chains * context.length if settings.kind == COMBINED else 0.0
    own_work = {
        "sampling": sampled * context.chain_tokens(settings.chains_of),
        "forward": sampled / settings.samples * context.prompt,
    }
    more = {"estimated": BOTH, "own_samples": round(sampled), "own_tokens": round(own_work["sampling"])}
    return StageDraft(stage.name, False, chains, tokens, {"forward": tokens}, own_work, more)


def _ranker_pairs(context: PlanContext, problems: float, calibrating: float) -> float:
    """Estimate the number of training pairs: the student's own, plus the teacher's if these are too few."""
    settings, scale = context.recipe.training.ranker, context.scale
    pairs = (problems - calibrating) * expected_pairs(settings)
    if pairs < settings.min_pairs and settings.teacher_rationales:
        texts: dict[str, tuple[set[str], set[str]]] = {}
        for side, items in enumerate((context.corpus.positive, context.corpus.negative)):
            for item in items:
                texts.setdefault(item.problem.id, (set(), set()))[side].add(item.text)
        found = sum(
            min(settings.pairs_per_problem, len(right) * len(wrong))
            for name, (right, wrong) in texts.items()
            if name not in context.corpus.held_out
        )
        pairs += found * scale * (1 - calibrating / max(len(texts) * scale, 1))
    return min(pairs, settings.max_examples or math.inf)


def _resume(context: PlanContext, draft: StageDraft, stage: Stage, key: str) -> None:
    """Subtract the work that a checkpoint with the same settings has already done."""
    state = context.run.stages().get(stage.name, {})
    folder = context.source.path / "checkpoints" / stage.name
    steps = [int(path.parent.name.rpartition("-")[2]) for path in folder.glob("checkpoint-*/complete")]
    if context.force or not steps or state.get("key") != key:
        return
    total = draft.more.get("steps") or 1
    left = max(0.0, 1 - max(steps) / max(total, 1))
    draft.work[stage.cost.step] *= left
    if stage.on_policy:
        draft.work["sampling"] *= left
        draft.more |= {name: round(draft.more[name] * left) for name in ("own_samples", "own_tokens")}
    else:
        draft.own_work = {}  # they are sampled before the first step
        draft.more |= {"own_samples": 0, "own_tokens": 0}
    context.notes.append(f"{stage.name}: resumes at step {max(steps)} of {total}")


def expected_pairs(settings: RankerConfig) -> float:
    """Return the expected number of pairs per problem if each chain is right with probability 1/2.

    With two chains, one is right and one wrong with probability 1/2: 0.5 pairs.
    """
    n, most = settings.samples, settings.pairs_per_problem
    return sum(math.comb(n, right) * min(most, right * (n - right)) for right in range(n + 1)) / (1 << n)
