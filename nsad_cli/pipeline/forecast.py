"""Forecast of the rationales that a run will train on, before they are collected and graded.

Finished ones are counted; otherwise a sample is graded; without draws, averages are assumed.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nsad_cli.collection.collect import params_key
from nsad_cli.collection.quote import Quote, make_quote
from nsad_cli.grading.checker import Checker
from nsad_cli.grading.verdicts import grade_texts
from nsad_cli.pipeline.collect_stage import collect_key, collected, grade_key, graded_rationales, training_problems
from nsad_cli.pipeline.step_filter import without_wrong_texts
from nsad_cli.store.rationales import Store
from nsad_cli.teachers import Teacher, is_api, is_free, labels_of, make_teacher
from nsad_cli.teachers.base import Request
from nsad_cli.types import Draw, Problem, Rationale, Verdict
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nsad_cli.config.schema import TeacherConfig
    from nsad_cli.runs.run import Run

MAX_GRADED = 1000
"""The maximum number of draws graded for a forecast; a problem's draws are graded together."""
ASSUMED_RIGHT_SHARE = 0.6
"""The assumed fraction of right rationales if there are no draws; the others are assumed to be wrong."""
RATIONALE_CHARS = 600
"""The assumed length of a rationale if there are no draws and the problem has no human solution."""
GRADE_SECONDS = 0.005
"""The assumed time to grade one draw."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Actual or expected D+ and D−; each rationale represents `scale` rationales."""

    positive: tuple[Rationale, ...]
    negative: tuple[Rationale, ...]
    scale: float
    basis: str
    """The source of the rationales, in words; empty if they are the run's own."""
    grade_seconds: float = GRADE_SECONDS
    """The time to grade one draw."""

    @property
    def estimated(self) -> bool:
        """Whether counts derived from it are estimates."""
        return self.scale != 1 or self.basis.startswith("assumed")


@dataclass(frozen=True, slots=True)
class Ahead:
    """The state of collecting and grading: what is done and what remains."""

    problems: tuple[Problem, ...]
    stored: tuple[Draw, ...]
    """The run's draws in its store."""
    wanted: int
    """The number of draws after collection."""
    calls: int
    """The number of draws to request from the teacher; 0 for a free teacher."""
    collected: bool
    graded: bool
    forecast: Forecast
    quote: Quote | None = None
    """The quote for the draws to request from a teacher behind an API."""

    def rationale_chars(self) -> float:
        """Return the mean length of a rationale: of stored ones, else of human solutions, else assumed."""
        known = [len(draw.text) for draw in self.stored]
        known = known or [len(problem.solution) for problem in self.problems if problem.solution]
        return sum(known) / len(known) if known else RATIONALE_CHARS


def look_ahead(run: Run, *, force: bool = False) -> Ahead:
    """Forecast a run's rationales; with `force`, no stage counts as done, but stored draws are used.

    Raises:
        NsadError: The teacher's file or the problems are missing.
    """
    recipe = run.recipe
    settings, seed = recipe.teacher, recipe.seed
    done = not force and collected(run, collect_key(recipe))
    with Store(run.store_path) as store:
        if done:
            result = run.stages()["collect"]["result"]
            name, params, mine = result["teacher"], result["params"], set(result["problem_ids"])
            problems = [problem for problem in store.problems() if problem.id in mine]
        else:
            teacher = planned_teacher(settings)
            name, params = teacher.name, params_key(teacher)
            problems = training_problems(recipe, teacher)
            mine = {problem.id for problem in problems}
        stored = [draw for draw in store.draws(name, params) if draw.problem_id in mine and draw.index < settings.draws]
        quote = None
        if not done and is_api(settings.spec):
            quote = make_quote(settings, teacher, problems, store)
    draws, wanted, calls = stored, len(stored), 0
    labels = {} if done else labels_of(teacher)
    if not done and is_free(settings.spec):
        draws = free_draws(teacher, problems, settings.draws)
        wanted = len(draws)
    elif not done:
        wanted = len(problems) * settings.draws
        calls = wanted - len(stored)
    graded = done and run.done("grade", grade_key(run.stages()["collect"]))
    if graded:
        positive, negative = graded_rationales(run)
        forecast = Forecast(tuple(positive), tuple(negative), 1.0, "")
    elif draws:
        note("grading a sample of the rationales …")
        forecast = sampled_forecast(problems, draws, wanted, seed, f"the draws of {name}", labels)
        if recipe.training.drop_wrong_steps:
            forecast = replace(forecast, positive=tuple(without_wrong_texts(forecast.positive)))
    else:
        forecast = assumed_forecast(problems, settings.draws, seed)
    return Ahead(tuple(problems), tuple(stored), wanted, calls, done, graded, forecast, quote)


def planned_teacher(settings: TeacherConfig) -> Teacher:
    """Create the teacher of a recipe for its name and problems only, without needing an API key.

    Raises:
        NsadError: See make_teacher.
    """
    if not is_api(settings.spec):
        return make_teacher(settings.spec, settings)
    # Without a base URL an API teacher requires its key; nothing is sent to this one.
    urls = settings.base_url or ["http://localhost"]
    return make_teacher(settings.spec, settings.model_copy(update={"base_url": urls}))


def free_draws(teacher: Teacher, problems: Sequence[Problem], draws: int) -> list[Draw]:
    """Return all draws of a free teacher, in memory."""
    found: list[Draw] = []
    teacher.draw([Request(problem, tuple(range(draws))) for problem in problems], found.extend, lambda *_: None)
    return found


def sampled_forecast(
    problems: Iterable[Problem],
    draws: Sequence[Draw],
    total: int,
    seed: int,
    basis: str,
    labels: Mapping[tuple[str, int], bool] | None = None,
) -> Forecast:
    """Forecast by grading a sample of at most MAX_GRADED draws, sampled by problem.

    Args:
        problems: The problems.
        draws: The draws.
        total: The number of draws that the sample represents.
        seed: The seed of the sample.
        basis: The source of the draws, in words.
        labels: Whether a draw is right, by problem id and index; used if no gold answer is known.

    Returns:
        The forecast.
    """
    by_id = {problem.id: problem for problem in problems}
    groups: dict[str, list[Draw]] = {}
    for draw in draws:
        if draw.problem_id in by_id:
            groups.setdefault(draw.problem_id, []).append(draw)
    order = list(groups)
    if len(draws) > MAX_GRADED:
        random.Random(f"plan:{seed}").shuffle(order)
    chosen: list[Draw] = []
    for name in order:
        if chosen and len(chosen) + len(groups[name]) > MAX_GRADED:
            break
        chosen += groups[name]
    with Checker() as checker:
        started = time.perf_counter()
        verdicts = grade_texts([(draw.text, by_id[draw.problem_id].answer, draw.finish) for draw in chosen], checker)
        seconds = time.perf_counter() - started
    sides = {True: Verdict.CORRECT, False: Verdict.WRONG}
    known = {key: sides[right] for key, right in (labels or {}).items() if key[0] in by_id and not by_id[key[0]].answer}
    rationales = [
        Rationale(
            by_id[draw.problem_id], draw.text, known.get((draw.problem_id, draw.index), found.verdict), draw.index
        )
        for draw, found in zip(chosen, verdicts, strict=True)
    ]
    return Forecast(
        tuple(item for item in rationales if item.verdict is Verdict.CORRECT),
        tuple(item for item in rationales if item.verdict is Verdict.WRONG),
        total / max(len(chosen), 1),
        basis if len(chosen) == total else f"{basis}, {len(chosen)} of {total} draws graded",
        seconds / max(len(chosen), 1),
    )


def assumed_forecast(problems: Sequence[Problem], draws: int, seed: int) -> Forecast:
    """Forecast rationales of the human solutions' lengths, or of RATIONALE_CHARS, with ASSUMED_RIGHT_SHARE right."""
    chosen = list(problems)
    if len(chosen) * draws > MAX_GRADED:
        chosen = random.Random(f"plan:{seed}").sample(chosen, max(1, MAX_GRADED // draws))
    rationales = [
        Rationale(problem, problem.solution or _filler(), _assumed(i * draws + index), index)
        for i, problem in enumerate(chosen)
        for index in range(draws)
    ]
    return Forecast(
        tuple(item for item in rationales if item.verdict is Verdict.CORRECT),
        tuple(item for item in rationales if item.verdict is Verdict.WRONG),
        len(problems) / len(chosen),
        f"assumed: {ASSUMED_RIGHT_SHARE:.0%} right, each as long as the problem's human solution"
        if chosen[0].solution
        else f"assumed: {ASSUMED_RIGHT_SHARE:.0%} right, {RATIONALE_CHARS} characters each",
    )


def _assumed(number: int) -> Verdict:
    return Verdict.CORRECT if number % 10 < 10 * ASSUMED_RIGHT_SHARE else Verdict.WRONG


def _filler() -> str:
    sentence = "Then 12 of them are left, and 3 more make 15. "
    return (sentence * (RATIONALE_CHARS // len(sentence) + 1))[:RATIONALE_CHARS]
