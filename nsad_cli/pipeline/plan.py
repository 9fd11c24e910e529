"""The plan of a run: work, time, memory and cost of each stage, before anything is spent.

The plan is made from a copy of the run's records in a temporary folder; the run's folder does not change.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nsad_cli.config import prompts
from nsad_cli.config.ranker_kinds import ENCODER
from nsad_cli.config.stages import COLLECT, EVAL, EVAL_BEFORE, GRADE, TRAINING, UNTRAINED
from nsad_cli.models.smollm2 import cache_folder, smollm2_cache
from nsad_cli.pipeline.dry_run import copy_of_records
from nsad_cli.pipeline.forecast import Ahead, look_ahead
from nsad_cli.pipeline.known_speeds import FILE
from nsad_cli.pipeline.pipeline import trained_models
from nsad_cli.pipeline.plan_draft import PlanContext, StageDraft, StagePlan
from nsad_cli.pipeline.plan_speed import measured_speeds
from nsad_cli.problems.decontamination import find_leaks
from nsad_cli.runs.run import Run, check_name, runs_home
from nsad_cli.utils.devices import select_gpu
from nsad_cli.utils.hub import hub_cache
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nsad_cli.config.schema import Recipe
    from nsad_cli.pipeline.memory import EncoderFootprint

CHARS_PER_TOKEN = 4
"""The assumed characters per token of a teacher, whose tokenizer is not available."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of every stage of a run, with notes on the assumptions."""

    run: str
    stages: tuple[StagePlan, ...]
    notes: tuple[str, ...]


def make_plan(name: str, recipe: Recipe, *, force: bool = False) -> Plan:
    """Plan a run of a recipe, taking into account what the run of that name has already done.

    Args:
        name: The run's name; the run need not exist.
        recipe: The recipe.
        force: Plan every stage as if none were done.

    Returns:
        The plan.

    Raises:
        NsadError: A file, the student or a benchmark is missing, so that the run itself would fail.
    """
    before = {path: _changed_at(path) for path in _caches(recipe)}
    with planning(name, recipe, force=force) as context:
        plan = _plan(context)
    written = ", ".join(str(path) for path, time in before.items() if _changed_at(path) != time)
    text = f"{written}, a cache that the run uses too" if written else "nothing"
    return dataclasses.replace(plan, notes=(*plan.notes, f"written to disk by this plan: {text}"))


@contextlib.contextmanager
def planning(name: str, recipe: Recipe, *, store: Path | None = None, force: bool = False) -> Iterator[PlanContext]:
    """Prepare a plan: the drafts of collect and grade, and what those of training and evaluations are made from.

    Args:
        name: The run's name; the run need not exist.
        recipe: The recipe.
        store: The store of rationales that a run that does not exist would use; None for its own.
        force: Plan every stage as if none were done.

    Yields:
        The context, of a copy of the run's records that is deleted at the end.

    Raises:
        NsadError: A file, the student or a benchmark is missing.
    """
    check_name(name)
    select_gpu(recipe.student.device)
    with tempfile.TemporaryDirectory(prefix="nsad-plan-") as folder:
        source = Run(runs_home() / name)
        run = copy_of_records(source, recipe, Path(folder), store=store)
        ahead = look_ahead(run, force=force)
        notes: list[str] = []
        drafts = _collection(run.recipe, ahead, notes)
        yield _context(run, source, force, ahead, drafts, notes)


def _changed_at(path: Path) -> int | None:
    """Return the time of the last change of a file or folder; None if it does not exist."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _caches(recipe: Recipe) -> Iterator[Path]:
    """Yield what a plan may create outside of the run: folders of the recipe's models, and the machine's speeds."""
    yield cache_folder() / FILE
    for model in (recipe.student.model, recipe.training.ranker.model):
        if model == "smollm2" and (folder := smollm2_cache()) is not None:
            yield folder
        elif model and not Path(model).expanduser().exists():
            yield hub_cache() / f"models--{model.partition('@')[0].replace('/', '--')}"


def _plan(context: PlanContext) -> Plan:
    from nsad_cli.pipeline.plan_evaluation import plan_evaluation
    from nsad_cli.pipeline.plan_training import plan_training

    recipe, drafts = context.recipe, context.drafts
    drafts[EVAL_BEFORE.name] = plan_evaluation(context, EVAL_BEFORE.name, UNTRAINED[:1], 0)
    for stage in TRAINING:
        drafts[stage.name] = plan_training(context, stage)
    drafts[EVAL.name] = plan_evaluation(context, EVAL.name, trained_models(recipe), recipe.evaluation.samples)
    speeds = measured_speeds(context)
    return Plan(context.run.name, tuple(draft.to_plan(speeds) for draft in drafts.values()), tuple(context.notes))


def _context(
    run: Run, source: Run, force: bool, ahead: Ahead, drafts: dict[str, StageDraft], notes: list[str]
) -> PlanContext:
    """Load the student's shapes, and build the corpus that training will use."""
    recipe = run.recipe
    leaks = find_leaks(recipe, ahead.problems)
    if leaks.ids:
        notes.insert(0, f"training: {leaks.describe(len(ahead.problems))}, and are excluded")
    note("loading the student's shapes …")
    from nsad_cli.inference.session import Session
    from nsad_cli.pipeline.memory import measure
    from nsad_cli.training.stage_data import make_corpus

    session = Session(run, recipe)
    footprint = measure(session.reader.model, session.adapter_settings, recipe.student.load_in_4bit)
    encoder = _measured_encoder(recipe) if recipe.training.ranker.kind == ENCODER else None
    positive, negative = (
        [item for item in side if item.problem.id not in leaks.ids]
        for side in (ahead.forecast.positive, ahead.forecast.negative)
    )
    corpus = make_corpus(
        positive,
        negative,
        share=recipe.training.held_out,
        seed=recipe.seed,
        split=recipe.training.ranker.split or 0,
    )
    return PlanContext(
        run, source, force, ahead, leaks, session, footprint, encoder, corpus, drafts=drafts, notes=notes
    )


def _measured_encoder(recipe: Recipe) -> EncoderFootprint:
    import torch

    from nsad_cli.pipeline.memory import measure_encoder
    from nsad_cli.rankers.encoder import open_encoder

    scorer = open_encoder(recipe.training.ranker.model, torch.device("meta"), recipe.seed)
    return measure_encoder(scorer, scorer.model.config)


def _collection(recipe: Recipe, ahead: Ahead, notes: list[str]) -> dict[str, StageDraft]:
    """Draft the stages collect and grade."""
    teacher, quote, forecast = recipe.teacher, ahead.quote, ahead.forecast
    used = sum(draw.prompt_tokens + draw.completion_tokens for draw in ahead.stored)
    prompt_chars = sum(
        len(prompts.text_prompt(teacher.demonstrations, teacher.prompt, problem.question)) for problem in ahead.problems
    )
    chars = prompt_chars / max(len(ahead.problems), 1) + ahead.rationale_chars()
    expected = ahead.calls * chars / CHARS_PER_TOKEN
    collect = StageDraft(
        COLLECT.name,
        ahead.collected,
        ahead.wanted,
        used + expected or None,
        more={
            "seconds": None if ahead.calls else 0.0,
            "calls": quote.requests if quote else ahead.calls,
            "cost": quote.best_cost if quote else 0.0,
            "reused": len(ahead.stored),
            "estimated": ("tokens",) if ahead.calls else (),
        },
    )
    if not ahead.collected and ahead.stored:
        notes.append(f"collect: {len(ahead.stored)} of {ahead.wanted} draws are already in the store")
    if quote is not None and ahead.calls:
        notes.append(f"collect: {quote.cost_in_words()}; the speed of {teacher.spec} is unknown")
    if forecast.basis:
        notes.append(f"rationales: {forecast.basis}")
    seconds = 0.0 if ahead.graded else round(ahead.wanted * forecast.grade_seconds, 1)
    grade = StageDraft(GRADE.name, ahead.graded, ahead.wanted, None, more={"seconds": seconds})
    return {COLLECT.name: collect, GRADE.name: grade}
