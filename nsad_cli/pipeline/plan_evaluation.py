"""Plans of the evaluation stages: chains to sample and to score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.config.stages import COLLECT, EVAL, TRAINING, UNTRAINED
from nsad_cli.evaluation.measure import (
    Benchmark,
    demonstrated,
    evaluation_key,
    load_benchmarks,
    seen_problems,
    unseen_problems,
)
from nsad_cli.generation.sampler import GREEDY_INDEX
from nsad_cli.pipeline.plan_draft import PlanContext, StageDraft
from nsad_cli.utils.logs import muted_notes

if TYPE_CHECKING:
    from collections.abc import Sequence


def plan_evaluation(context: PlanContext, stage: str, models: Sequence[str], samples: int) -> StageDraft:
    """Draft an evaluation.

    Args:
        context: The plan so far; the evaluation after training needs the drafts of all training stages.
        stage: The evaluation before or after training.
        models: The evaluated models.
        samples: The number of chains per problem for the votes; 0 for greedy answers only.

    Returns:
        The evaluation's draft.
    """
    settings, run = context.recipe.evaluation, context.run
    benchmarks: list[Benchmark] = []
    if settings.benchmarks and models:
        benchmarks = load_benchmarks(run, settings.benchmarks, settings.limit, context.leaks)
    key = evaluation_key(run, stage, models, samples, benchmarks)
    trained = {item.name for item in TRAINING} if stage == EVAL.name else set()
    required = [draft for name, draft in context.drafts.items() if name == COLLECT.name or name in trained]
    ready = all(draft.done for draft in required) and not context.force
    if (ready and run.done(stage, key)) or not settings.benchmarks:
        return _finished(context, stage, models, samples, benchmarks)
    used = _training_problems(context)
    with muted_notes():  # load_benchmarks has logged what is dropped
        problems = [problem for spec in settings.benchmarks for problem in unseen_problems(spec, used, settings.limit)]
    chains = len(models) * len(problems) * (1 + samples)
    cached, tokens, work = 0, 0.0, {"sampling": 0.0, "forward": 0.0}
    for model in models:
        reused = context.cached_chains(model, problems, (GREEDY_INDEX,), greedy=True)
        if samples:
            reused += context.cached_chains(model, problems, range(samples))
        sampled = (len(problems) * (1 + samples) - reused) * context.chain_tokens(model)
        passes = 2 if samples else 1  # prompts are prefilled separately for greedy and for sampled chains
        work["sampling"] += sampled
        work["forward"] += passes * len(problems) * context.prompt_tokens(model) if sampled else 0
        if samples and model not in UNTRAINED:
            scored = len(problems) * samples * context.chain_tokens(model)
            work["forward"] += scored * context.scoring_pass(model)
        cached, tokens = cached + reused, tokens + len(problems) * (1 + samples) * context.chain_tokens(model)
    if cached:
        context.notes.append(f"{stage}: {cached} of {chains} chains are already stored")
    more = {"memory_gib": _memory(context, models), "reused": cached, "estimated": ("tokens",)}
    return StageDraft(stage, False, chains, tokens, work, more=more)


def _finished(
    context: PlanContext, stage: str, models: Sequence[str], samples: int, benchmarks: Sequence[Benchmark]
) -> StageDraft:
    """Draft an evaluation that is done, or that has no benchmark."""
    rows = context.run.stages().get(stage, {}).get("result", {}).get("results", [])
    once = {(row["benchmark"], row["model"], bool(row["rule"])): row["tokens"] for row in rows}
    chains = len(models) * sum(len(found) for _, found in benchmarks) * (1 + samples)
    more = {"memory_gib": _memory(context, models), "reused": 0, "estimated": ()}
    return StageDraft(stage, True, chains, sum(once.values()), {"sampling": 0.0, "forward": 0.0}, more=more)


def _memory(context: PlanContext, models: Sequence[str]) -> float:
    sampling = context.recipe.sampling
    longest = max(map(context.prompt_tokens, models), default=context.prompt) + sampling.max_new_tokens
    return round(context.footprint.sampling_gib(sampling.batch_size, longest), 2)


def _training_problems(context: PlanContext) -> set[str]:
    """Return the ids of the problems used in training before the evaluation, or as few-shot demonstrations."""
    leaks = context.leaks
    ahead: set[str] = {problem.id for problem in context.ahead.problems} - (leaks.ids - leaks.own)
    return seen_problems(context.run, leaks) | ahead | demonstrated(context.recipe)
