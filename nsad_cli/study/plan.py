"""The plan of a study: what each arm trains and evaluates in one seed, and what all cells cost together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.config.stages import COLLECT, EVAL, GRADE
from nsad_cli.pipeline.plan import planning
from nsad_cli.pipeline.plan_speed import measured_speeds
from nsad_cli.study.budget import equalise, model_parameters
from nsad_cli.study.cells import make_cells
from nsad_cli.utils.hashing import content_key
from nsad_cli.utils.logs import muted_notes

if TYPE_CHECKING:
    from nsad_cli.pipeline.plan_draft import StagePlan
    from nsad_cli.study.cells import Cell
    from nsad_cli.study.definition import Study


@dataclass(frozen=True, slots=True)
class ArmPlan:
    """The plan of an arm in its first seed; `seconds` is what remains, None if unknown."""

    arm: str
    model: str
    stages: tuple[StagePlan, ...]
    tokens: int
    """Tokens trained on in all stages."""
    parameters: int
    """Parameters of the model's adapters."""
    seconds: float | None
    shared: tuple[str, ...]
    """Stages that an earlier arm has with the same settings, so that they are copied."""


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """The plan of a study; `seconds` is an estimate for all cells, shared stages counted once a seed."""

    study: str
    cells: int
    arms: tuple[ArmPlan, ...]
    seconds: float | None
    notes: tuple[str, ...]


def plan_study(study: Study) -> StudyPlan:
    """Plan a study from the first seed of each arm; nothing is run or written except the cache of speeds.

    Raises:
        NsadError: A file, the student or a benchmark is missing.
    """
    cells = [cell for cell in make_cells(study) if cell.seed == study.seeds[0]]
    seen: dict[str, str] = {}
    notes: dict[str, None] = {}
    arms = tuple(_plan_cell(cell, seen, notes) for cell in equalise(cells, study.equal))
    once = {plan.stage: plan.seconds for plan in arms[0].stages if plan.stage in (COLLECT.name, GRADE.name)}
    each = [plan.seconds for plan in arms]
    known = None not in each and None not in once.values()
    collecting = sum(filter(None, once.values()))
    seconds = collecting + len(study.seeds) * sum(filter(None, each)) if known else None
    return StudyPlan(study.name, len(study.seeds) * len(study.arms), arms, seconds, tuple(notes))


def _plan_cell(cell: Cell, seen: dict[str, str], notes: dict[str, None]) -> ArmPlan:
    from nsad_cli.pipeline.plan_evaluation import plan_evaluation
    from nsad_cli.pipeline.plan_training import plan_training
    from nsad_cli.training.stages import stage_key

    table, model, shared, keys = cell.table, cell.arm.model, list[str](), dict[str, str]()
    with muted_notes(), planning(cell.name, cell.recipe) as context:
        for name in cell.trained:
            draft = context.drafts[name] = plan_training(context, table[name])
            required = [keys[other] for other in table[name].requires if other in keys]
            keys[name] = content_key(stage_key(context.session, table[name], context.corpus), *required)
            if seen.setdefault(keys[name], cell.name) != cell.name:
                shared.append(name)
                draft.work = dict.fromkeys(draft.work, 0.0)
        evaluation = plan_evaluation(context, EVAL.name, [model], cell.recipe.evaluation.samples)
        context.drafts[EVAL.name] = evaluation
        speeds = measured_speeds(context)
        drafts = tuple(draft.to_plan(speeds) for draft in context.drafts.values())
        parameters = model_parameters(cell, context.footprint) if cell.stages else 0
        notes |= dict.fromkeys(context.notes)
    own = [plan for plan in drafts if plan.stage not in (COLLECT.name, GRADE.name)]
    seconds = None if any(plan.seconds is None for plan in own) else sum(plan.seconds or 0.0 for plan in own)
    tokens = sum(plan.tokens or 0 for plan in own if plan.stage in cell.stages)
    return ArmPlan(cell.arm.name, model, drafts, tokens, parameters, seconds, tuple(shared))


def plan_json(plan: StudyPlan) -> dict[str, object]:
    """Convert a plan to the object of `nsad study --plan --json`."""
    return dataclasses.asdict(plan)
