"""Measuring a run's models on benchmarks: which problems, and by which key a measurement is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.config import prompts
from nsad_cli.config.stages import RANKER, UNTRAINED
from nsad_cli.errors import NsadError
from nsad_cli.evaluation.report import STOP_AT, report_on
from nsad_cli.generation.engine_spec import parse_engine
from nsad_cli.generation.sampler import Sampling
from nsad_cli.grading.checker import Checker
from nsad_cli.grading.grade import grader_version
from nsad_cli.inference.sampling import Subject, sample_all, score_all
from nsad_cli.problems import load_problems, parse_spec
from nsad_cli.problems.decontamination import Leaks, find_leaks
from nsad_cli.runs.records import collected_problems
from nsad_cli.store.chains import ChainStore
from nsad_cli.types import Problem, problem_id
from nsad_cli.utils.hashing import content_key
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.config.schema import Recipe
    from nsad_cli.inference.session import Session
    from nsad_cli.runs.run import Run

Benchmark = tuple[str, list[Problem]]
"""A benchmark's label and the problems of it that are measured."""


def evaluation_key(run: Run, stage: str, models: Sequence[str], samples: int, benchmarks: Sequence[Benchmark]) -> str:
    """The key of an evaluation with the weights that the run has now."""
    recipe, stages = run.recipe, run.stages()
    asked = [(label, [(item.id, item.answer) for item in problems]) for label, problems in benchmarks]
    used = [name for name in models if name not in UNTRAINED]
    shown = [prompts.few_shot_demonstrations(recipe.evaluation)] if prompts.FEW_SHOT in models else []
    weights = {
        name: stages.get(name, {}).get("result", {}).get("weights")
        for name in (*used, *([RANKER.name] if used else []))
    }
    student = recipe.student.model_dump(exclude={"device"})
    shared = [recipe.sampling, student, recipe.seed, grader_version()]
    return content_key(stage, asked, models, samples, weights, shared, *shown)


def evaluate_models(
    session: Session,
    *,
    stage: str,
    models: Sequence[str],
    benchmarks: Sequence[Benchmark],
    samples: int,
    engine: str = "hf",
    stop_at: float = STOP_AT,
    wave: int = 1,
) -> dict[str, list[dict[str, Any]]]:
    """Measure models on benchmarks (see load_benchmarks); the lists of `nsad eval --json`."""
    run, recipe = session.run, session.recipe
    sampling = Sampling.of(recipe.sampling)
    report: dict[str, list[dict[str, Any]]] = {"results": [], "groups": [], "stopping": []}
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
                for name, rows in report_on(label, model, problems, chains, stop_at, wave).items():
                    report[name] += rows
    return report


def load_benchmarks(run: Run, specs: Sequence[str], limit: int | None, leaks: Leaks | None = None) -> list[Benchmark]:
    """Each spec's label with its first `limit` distinct problems, without those that any stage of the run learned
    from or chose by, those that few-shot shows, and those that have no gold answer.
    """
    seen = seen_problems(run, leaks or _known_leaks(run)) | demonstrated(run.recipe)
    return [(parse_spec(spec).label, unseen_problems(spec, seen, limit)) for spec in specs]


def seen_problems(run: Run, leaks: Leaks) -> set[str]:
    """Ids of the problems that the run's training has learned from or chosen by, or will.

    All that are collected count, but for those that training leaves out because evaluation asks them.
    """
    seen: set[str] = set()
    for stage, state in run.stages().items():
        ids = set(state.get("result", {}).get("problem_ids", []))
        seen |= ids - (leaks.ids - leaks.own) if stage == "collect" else ids
    return seen


def _known_leaks(run: Run) -> Leaks:
    """The run's leaks; none where its own benchmarks are not at hand: all that is collected then counts as seen."""
    try:
        return find_leaks(run.recipe, collected_problems(run))
    except NsadError:
        return Leaks()


def demonstrated(recipe: Recipe) -> set[str]:
    """Ids of the problems that few-shot shows with their solutions: no model is measured on them."""
    return {problem_id(item.question) for item in prompts.few_shot_demonstrations(recipe.evaluation)}


def unseen_problems(spec: str, seen: set[str], limit: int | None) -> list[Problem]:
    """A benchmark's first `limit` distinct problems that have a gold answer and are not in `seen`.

    Of problems with one question the first counts; those with another gold answer are noted. Raises NsadError
    where none is left.
    """
    problems = load_problems(spec)
    label = parse_spec(spec).label
    distinct: dict[str, Problem] = {}
    again = 0
    for problem in (problem for problem in problems if problem.answer.strip()):
        again += distinct.setdefault(problem.id, problem).answer.strip() != problem.answer.strip()
    if again:
        note(f"{label}: {again} problems ask again what an earlier one asks, with another gold answer, and are dropped")
    if blank := sum(not problem.answer.strip() for problem in problems):
        note(f"{label}: {blank} problems have no gold answer, and are dropped")
    unseen = [problem for key, problem in distinct.items() if key not in seen]
    if len(unseen) < len(distinct):
        note(f"{label}: {len(distinct) - len(unseen)} problems were trained on or shown, and are dropped")
    if not unseen:
        raise NsadError(
            f"{spec}: every problem was trained on or shown",
            "nothing is left to measure",
            "name another split or benchmark",
        )
    return unseen[:limit]
