"""Evaluation of a run's models on benchmarks: selection of problems, and the key of an evaluation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from nsad_cli.config import prompts
from nsad_cli.config.engine_spec import EngineSpec, parse_engine
from nsad_cli.config.stages import RANKER, UNTRAINED, stages
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.evaluation.report import STOP_AT, report_on
from nsad_cli.generation.sampler import Sampling
from nsad_cli.grading.checker import Checker
from nsad_cli.grading.grade import grader_version
from nsad_cli.inference.sampling import Subject, sample_all, score_all
from nsad_cli.problems import load_problems, parse_spec
from nsad_cli.problems.decontamination import Leaks, find_leaks
from nsad_cli.runs.base_model import base_key
from nsad_cli.runs.models import has_model
from nsad_cli.runs.records import collected_problems
from nsad_cli.runs.trackers.listener import tracking
from nsad_cli.store.chains import ChainStore
from nsad_cli.types import Problem, problem_id
from nsad_cli.utils.devices import select_gpu
from nsad_cli.utils.hashing import content_key
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.config.schema import Recipe
    from nsad_cli.evaluation.report import Measured
    from nsad_cli.inference.session import Session
    from nsad_cli.runs.run import Run

MAX_EFFECT_PROBLEMS, EFFECT_TOKENS = 32, 4096
"""Greedy chains on which the effect of NAT's negative branch is measured, and tokens of them at once."""
Benchmark = tuple[str, list[Problem]]
"""A benchmark's label and its evaluated problems."""


def evaluation_key(run: Run, stage: str, models: Sequence[str], samples: int, benchmarks: Sequence[Benchmark]) -> str:
    """Hash everything that an evaluation depends on, with the run's current weights."""
    recipe, stages = run.recipe, run.stages()
    contents = [(label, [(item.id, item.answer) for item in problems]) for label, problems in benchmarks]
    used = [name for name in models if name not in UNTRAINED]
    demonstrations = [prompts.few_shot_demonstrations(recipe.evaluation)] if prompts.FEW_SHOT in models else []
    weights = {
        name: stages.get(name, {}).get("result", {}).get("weights")
        for name in (*used, *([RANKER.name] if used else []))
    }
    # Without the engine the key is that of earlier versions, which knew only transformers.
    student = {**recipe.student.model_dump(exclude={"device", "engine"}), "model": base_key(run, recipe)}
    engine = parse_engine(recipe.evaluation_engine).name
    if engine != "hf":
        student["engine"] = engine
    shared = [recipe.sampling, student, recipe.seed, grader_version()]
    if recipe.solve.weights != "fitted":
        shared.append(recipe.solve.weights)
    return content_key(stage, contents, models, samples, weights, shared, *demonstrations)


def evaluate_models(
    session: Session,
    *,
    stage: str,
    models: Sequence[str],
    benchmarks: Sequence[Benchmark],
    samples: int,
    engine: str | None = None,
    stop_at: float = STOP_AT,
    wave: int = 1,
) -> dict[str, list[dict[str, Any]]]:
    """Evaluate models on benchmarks.

    Args:
        session: The run's session.
        stage: The stage under which progress is logged.
        models: The models.
        benchmarks: The benchmarks; see load_benchmarks.
        samples: The number of sampled chains per problem; 0 for greedy answers only.
        engine: The engine, see parse_engine; None for the run's.
        stop_at: The probability at which simulated early stopping stops.
        wave: The number of chains sampled at once in the simulation.

    Returns:
        The lists `results`, `groups`, `stopping` and `negatives` of `nsad eval --json`.

    Raises:
        UsageError: The engine serves one model, and there are several.
        NsadError: A model cannot be loaded or sampled from.
    """
    run, recipe = session.run, session.recipe
    engine = engine or recipe.evaluation_engine
    if parse_engine(engine).served and len(models) > 1:
        raise UsageError(
            f"`{engine}` is one model, and {len(models)} are to be evaluated",
            "each would get the same chains",
            "give one --model, or server@URL, which asks for each model by its name in the run",
        )
    sampling = Sampling.of(recipe.sampling)
    report: dict[str, list[dict[str, Any]]] = {"results": [], "groups": [], "stopping": [], "negatives": []}
    with ChainStore(run.chains_path) as store, Checker() as checker:
        for model in models:
            key = parse_engine(engine).key(session.model_key(model))
            subject = Subject(model, key, session.sampler(model, engine))
            for label, problems in benchmarks:
                progress = run.events.progress(stage, model=model, benchmark=label)
                chains = sample_all(subject, problems, sampling, samples, True, recipe.seed, store, checker, progress)
                ranker = session.ranker() if samples and model not in UNTRAINED else None
                if ranker is not None:
                    sampled = {key: both[1] for key, both in chains.items()}
                    scored = score_all(subject, problems, sampled, ranker, sampling, recipe.seed, store)
                    chains = {key: (both[0], scored[key]) for key, both in chains.items()}
                refused = None if ranker is None else ranker.refused
                for name, rows in report_on(label, model, problems, chains, stop_at, wave, refused=refused).items():
                    report[name] += rows
                report["negatives"] += effect_rows(session, label, model, problems, chains, engine)
    return report


def effect_rows(
    session: Session, label: str, model: str, problems: Sequence[Problem], chains: Measured, engine: str
) -> list[dict[str, Any]]:
    """Measure the effect of NAT's negative branch on its greedy chains; no row for other models.

    Another engine than transformers here has no adapters in memory; nothing is loaded for the sake of this figure.
    """
    entry = stages().get(model)
    if entry is None or entry.companion is None or parse_engine(engine) != EngineSpec():
        return []
    from nsad_cli.models.lm_head import vocabulary_head
    from nsad_cli.models.nat.negative_effect import negative_effect
    from nsad_cli.models.packing import Example, group_by_tokens, pack

    student, adapters = session.student, session.adapters
    examples = [
        Example(tuple(student.prompt_ids(problem.question)), tuple(student.completion_ids(chain.text)))
        for problem in problems[:MAX_EFFECT_PROBLEMS]
        for chain in chains[problem.id][0]
    ]
    packs = [pack(part).to(adapters.model.device) for part in group_by_tokens(examples, EFFECT_TOKENS)]
    adapters.model.eval()
    effect = negative_effect(adapters, model, vocabulary_head(adapters.base), packs)
    if effect is None:
        return []
    row = {"benchmark": label, "model": model, "n": min(len(problems), MAX_EFFECT_PROBLEMS)}
    return [{**row, **dataclasses.asdict(effect), "summary": effect.describe()}]


def evaluate_run(
    run: Run,
    specs: Sequence[str] | None,
    models: Sequence[str] | None,
    limit: int | None,
    samples: int | None,
    *,
    engine: str | None,
    stop_at: float,
    wave: int,
) -> dict[str, list[dict[str, Any]]]:
    """Evaluate a run's models by its recipe, with the values given in place of the recipe's; see api.evaluate."""
    select_gpu(run.recipe.student.device)
    from nsad_cli.inference.session import Session  # imports torch

    settings = run.recipe.evaluation
    benchmarks = load_benchmarks(run, require_benchmarks(run.recipe, specs), settings.limit if limit is None else limit)
    with run.lock(), tracking(run):
        return evaluate_models(
            Session(run),
            stage="eval",
            models=models or [name for name in settings.models if has_model(run, name)],
            benchmarks=benchmarks,
            samples=settings.samples if samples is None else samples,
            engine=engine,
            stop_at=stop_at,
            wave=wave,
        )


def require_benchmarks(recipe: Recipe, specs: Sequence[str] | None) -> Sequence[str]:
    """Return the given specs, else the recipe's.

    Raises:
        UsageError: There are neither.
    """
    specs = specs or recipe.evaluation.benchmarks
    if not specs:
        raise UsageError("no benchmark is named", "the run's recipe has none", "give --problems NAME[:SPLIT][@PATH]")
    return specs


def load_benchmarks(run: Run, specs: Sequence[str], limit: int | None, leaks: Leaks | None = None) -> list[Benchmark]:
    """Load benchmarks without problems that the run has trained on.

    Problems that select checkpoints, few-shot demonstrations and problems without a gold answer are excluded too.

    Args:
        run: The run.
        specs: The benchmarks' specs.
        limit: The maximum number of distinct problems of each benchmark, from its start; None for all.
        leaks: The run's overlaps with its benchmarks, if known.

    Returns:
        The benchmarks.

    Raises:
        NsadError: A benchmark cannot be read, or no problem of it is left.
    """
    seen = seen_problems(run, leaks or _known_leaks(run)) | demonstrated(run.recipe)
    return [(parse_spec(spec).label, unseen_problems(spec, seen, limit)) for spec in specs]


def seen_problems(run: Run, leaks: Leaks) -> set[str]:
    """Return the ids of the problems that the run trains on or selects checkpoints by.

    These are all collected problems, except those that training excludes because they overlap with a benchmark.
    """
    seen: set[str] = set()
    for stage, state in run.stages().items():
        ids = set(state.get("result", {}).get("problem_ids", []))
        seen |= ids - (leaks.ids - leaks.own) if stage == "collect" else ids
    return seen


def _known_leaks(run: Run) -> Leaks:
    """Return the run's leaks, or none if its benchmarks cannot be read: all collected problems then count as seen."""
    try:
        return find_leaks(run.recipe, collected_problems(run))
    except NsadError:
        return Leaks()


def demonstrated(recipe: Recipe) -> set[str]:
    """Return the ids of the few-shot demonstrations' problems, on which no model is evaluated."""
    return {problem_id(item.question) for item in prompts.few_shot_demonstrations(recipe.evaluation)}


def unseen_problems(spec: str, seen: set[str], limit: int | None) -> list[Problem]:
    """Load a benchmark's first `limit` distinct problems that have a gold answer and are not in `seen`.

    Of problems with the same question only the first is kept; a note reports those with another gold answer.

    Raises:
        NsadError: The benchmark cannot be read, or no problem is left.
    """
    problems = load_problems(spec)
    label = parse_spec(spec).label
    distinct: dict[str, Problem] = {}
    conflicting = 0
    for problem in (problem for problem in problems if problem.answer.strip()):
        conflicting += distinct.setdefault(problem.id, problem).answer.strip() != problem.answer.strip()
    if conflicting:
        note(f"{label}: dropped {conflicting} problems that repeat a question with another gold answer")
    if blank := sum(not problem.answer.strip() for problem in problems):
        note(f"{label}: dropped {blank} problems without a gold answer")
    unseen = [problem for key, problem in distinct.items() if key not in seen]
    if len(unseen) < len(distinct):
        note(f"{label}: dropped {len(distinct) - len(unseen)} problems used in training or as demonstrations")
    if not unseen:
        raise NsadError(
            f"{spec}: every problem was used in training or as a demonstration",
            "no problem is left to evaluate on",
            "use another split or benchmark",
        )
    return unseen[:limit]
