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
from nsad_cli.config.stages import (
    COLLECT,
    EVAL,
    EVAL_BEFORE,
    GRADE,
    TRAINING,
    UNTRAINED,
    stages_for,
    with_prerequisites,
)
from nsad_cli.errors import NsadError
from nsad_cli.models.smollm2 import cache_folder, smollm2_cache
from nsad_cli.pipeline.device_profiles import estimated_speeds
from nsad_cli.pipeline.dry_run import copy_of_records
from nsad_cli.pipeline.forecast import Ahead, look_ahead
from nsad_cli.pipeline.known_speeds import FILE
from nsad_cli.pipeline.pipeline import trained_models
from nsad_cli.pipeline.plan_draft import PlanContext, StageDraft, StagePlan
from nsad_cli.pipeline.plan_speed import measured_speeds
from nsad_cli.problems.decontamination import find_leaks
from nsad_cli.runs.base_model import assume_base
from nsad_cli.runs.run import Run, check_name, runs_home
from nsad_cli.utils.devices import select_gpu
from nsad_cli.utils.hub import hub_cache
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nsad_cli.config.schema import Recipe
    from nsad_cli.models.student import Student
    from nsad_cli.pipeline.memory import EncoderFootprint

CHARS_PER_TOKEN = 4
"""The assumed characters per token of a teacher, whose tokenizer is not available."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of every stage of a run, with notes on the assumptions."""

    run: str
    stages: tuple[StagePlan, ...]
    notes: tuple[str, ...]

    @property
    def seconds_left(self) -> float | None:
        """The time of the stages that are not done; None if that of any is unknown."""
        times = [stage.seconds for stage in self.stages if stage.state != "done"]
        return None if None in times else sum(time or 0.0 for time in times)


def make_plan(name: str, recipe: Recipe, *, force: bool = False, profile: str | None = None) -> Plan:
    """Plan a run of a recipe, taking into account what the run of that name has already done.

    Args:
        name: The run's name; the run need not exist.
        recipe: The recipe.
        force: Plan every stage as if none were done.
        profile: Estimate times for this GPU (see device_profiles.PROFILES) instead of measuring this machine. The
            student then needs no weights, and no files at all if its config is known.

    Returns:
        The plan.

    Raises:
        NsadError: A file, the student or a benchmark is missing, so that the run itself would fail.
    """
    before = {path: _changed_at(path) for path in _caches(recipe)}
    with planning(name, recipe, force=force, profile=profile) as context:
        plan = _plan(context, profile)
    written = ", ".join(str(path) for path, time in before.items() if _changed_at(path) != time)
    text = f"{written}, a cache that the run uses too" if written else "nothing"
    return dataclasses.replace(plan, notes=(*plan.notes, f"written to disk by this plan: {text}"))


@contextlib.contextmanager
def planning(
    name: str, recipe: Recipe, *, store: Path | None = None, force: bool = False, profile: str | None = None
) -> Iterator[PlanContext]:
    """Prepare a plan: the drafts of collect and grade, and what those of training and evaluations are made from.

    Args:
        name: The run's name; the run need not exist.
        recipe: The recipe.
        store: The store of rationales that a run that does not exist would use; None for its own.
        force: Plan every stage as if none were done.
        profile: See make_plan.

    Yields:
        The context, of a copy of the run's records that is deleted at the end.

    Raises:
        NsadError: A file, the student or a benchmark is missing.
    """
    check_name(name)
    if profile is not None and recipe.student.dtype == "auto" and not (runs_home() / name / "recipe.yaml").is_file():
        recipe = recipe.model_copy(update={"student": recipe.student.model_copy(update={"dtype": "bfloat16"})})
    select_gpu(recipe.student.device)
    with tempfile.TemporaryDirectory(prefix="nsad-plan-") as folder:
        source = Run(runs_home() / name)
        run = copy_of_records(source, recipe, Path(folder), store=store)
        notes: list[str] = []
        student = None if profile is None else _profiled_student(run, notes)
        ahead = look_ahead(run, force=force)
        drafts = _collection(run.recipe, ahead, notes)
        yield _context(run, source, force, ahead, drafts, notes, student)


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


def _plan(context: PlanContext, profile: str | None) -> Plan:
    from nsad_cli.pipeline.plan_evaluation import plan_evaluation
    from nsad_cli.pipeline.plan_training import plan_training

    recipe, drafts = context.recipe, context.drafts
    drafts[EVAL_BEFORE.name] = plan_evaluation(context, EVAL_BEFORE.name, UNTRAINED[:1], 0)
    source = recipe.training.negative.source
    table = stages_for(source)
    for name in with_prerequisites((stage.name for stage in TRAINING), source):
        drafts[name] = plan_training(context, table[name])
    drafts[EVAL.name] = plan_evaluation(context, EVAL.name, trained_models(recipe), recipe.evaluation.samples)
    speeds = measured_speeds(context) if profile is None else estimated_speeds(context, profile)
    notes = [*context.notes, *_warmups(drafts)]
    return Plan(context.run.name, tuple(draft.to_plan(speeds) for draft in drafts.values()), tuple(notes))


def _warmups(drafts: dict[str, StageDraft]) -> list[str]:
    """Return a note on the warm-up steps of the stages that are still to train."""
    found = {
        name: draft.more["warmup_steps"]
        for name, draft in drafts.items()
        if not draft.done and draft.more.get("warmup_steps") is not None
    }
    return [f"warm-up steps: {', '.join(f'{name} {steps}' for name, steps in found.items())}"] if found else []


def _profiled_student(run: Run, notes: list[str]) -> Student:
    """Load the student's shapes and tokenizer; if it is not at hand, build it from its known config."""
    from nsad_cli.models.known_configs import CHARS_PER_TOKEN, student_without_files
    from nsad_cli.models.student import load_student

    settings = run.recipe.student
    try:
        return load_student(
            settings.model, device="cpu", dtype=settings.dtype, template=settings.template, weights=False
        )
    except NsadError as error:
        student = student_without_files(settings.model, settings.dtype, settings.template, error)
    assume_base(run, settings.model)
    notes.append(
        f"student: {settings.model} is not at hand; its shapes are known, and {CHARS_PER_TOKEN} characters per token "
        "are assumed"
    )
    return student


def _context(
    run: Run,
    source: Run,
    force: bool,
    ahead: Ahead,
    drafts: dict[str, StageDraft],
    notes: list[str],
    student: Student | None,
) -> PlanContext:
    """Load the student's shapes unless they are given, and build the corpus that training will use."""
    recipe = run.recipe
    leaks = find_leaks(recipe, ahead.problems)
    if leaks.ids:
        notes.insert(0, f"training: {leaks.describe(len(ahead.problems))}, and are excluded")
    note("loading the student's shapes …")
    from nsad_cli.inference.session import Session
    from nsad_cli.models.device import pick_device
    from nsad_cli.pipeline.memory import measure
    from nsad_cli.training.stage_data import make_corpus

    session = Session(run, recipe)
    settings, device = recipe.student, pick_device(recipe.student.device)
    if student is not None:
        session.reader = student
    footprint = measure(session.reader.model, session.adapter_settings, settings.load_in_4bit, device)
    encoder = _measured_encoder(recipe, student is not None) if recipe.training.ranker.kind == ENCODER else None
    positive, negative = (
        [item for item in side if item.problem.id not in leaks.ids]
        for side in (ahead.forecast.positive, ahead.forecast.negative)
    )
    corpus = make_corpus(positive, negative, recipe)
    return PlanContext(
        run, source, force, ahead, leaks, session, footprint, encoder, corpus, drafts=drafts, notes=notes
    )


def _measured_encoder(recipe: Recipe, known_only: bool) -> EncoderFootprint:
    """Count the parameters of the ranker's own model; of a known one without its files, if that is enough."""
    import torch

    from nsad_cli.models.known_configs import known_encoder
    from nsad_cli.pipeline.memory import measure_encoder
    from nsad_cli.rankers.encoder import open_encoder

    name = recipe.training.ranker.model
    try:
        scorer = open_encoder(name, torch.device("meta"), recipe.seed)
    except NsadError:
        encoder = known_encoder(name) if known_only else None
        if encoder is None:
            raise
        return measure_encoder(encoder, encoder.config)
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
