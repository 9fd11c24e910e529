"""The stages collect and grade: their keys, their problems and their results."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from nsad_cli.collection.budget import Budget, price_of
from nsad_cli.collection.collect import INCOMPLETE_KEYS, CollectSummary, collect, collect_until, params_key
from nsad_cli.config import prompts
from nsad_cli.config.stages import COLLECT, GRADE, stages
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.grading.checker import Checker
from nsad_cli.grading.grade import count_verdicts, grade, grader_version
from nsad_cli.pipeline.step_filter import without_wrong_steps
from nsad_cli.problems import load_problems, parse_spec
from nsad_cli.store.rationales import Store
from nsad_cli.store.verdicts import LABEL
from nsad_cli.teachers import Teacher, labels_of, make_teacher, source_stamp
from nsad_cli.types import Grade, Problem, Rationale, Verdict
from nsad_cli.utils.files import file_stamp
from nsad_cli.utils.hashing import content_key
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nsad_cli.config.schema import Recipe
    from nsad_cli.runs.run import Run


UNKEYED_SETTINGS = {
    "base_url",
    "api_key_env",
    "concurrency",
    "requests_per_minute",
    "tokens_per_minute",
    "timeout",
    "price",
    "max_cost",
    "batch",
}
"""Teacher settings that do not affect a draw's content, so they are not part of the stage's key."""


def collect_key(recipe: Recipe) -> str:
    """Hash the settings and input files of a recipe's collection."""
    train = recipe.problems.train
    read = [source_stamp(recipe.teacher.spec), file_stamp(parse_spec(train).path) if train else None]
    return content_key("collect", recipe.problems, recipe.teacher.model_dump(exclude=UNKEYED_SETTINGS), read)


def collected(run: Run, key: str) -> bool:
    """Return whether a run's collection has finished with these settings and no draw is missing."""
    result = run.stages().get("collect", {}).get("result", {})
    return run.done("collect", key) and not any(result.get(name) for name in INCOMPLETE_KEYS)


def grade_key(collection: Mapping[str, Any]) -> str:
    """Hash the inputs of grading; `collection` is the manifest's entry of the finished collection."""
    return content_key("grade", collection["key"], collection["ended"], grader_version())


def graded(run: Run) -> bool:
    """Return whether every draw of a run's collection has a verdict by this version of the grader."""
    collection = run.stages().get("collect", {})
    return collection.get("state") == "finished" and run.done("grade", grade_key(collection))


def training_problems(recipe: Recipe, teacher: Teacher) -> list[Problem]:
    """Load the training problems of a recipe, or those of its teacher (a recording).

    Raises:
        UsageError: The recipe names no problems and the teacher has none.
        NsadError: The problems cannot be read.
    """
    limit = recipe.problems.limit
    own = teacher.problems()
    if own is not None and recipe.problems.train is None:
        return own[:limit]
    if recipe.problems.train is None:
        raise UsageError(
            "no training problems given",
            "problems.train is empty and this teacher has no problems of its own",
            "give --problems NAME[:SPLIT][@PATH], or problems.train in the recipe",
        )
    return load_problems(recipe.problems.train, limit=limit)


def distinct(problems: Sequence[Problem]) -> list[Problem]:
    """Remove repeated problems; the first one is kept, even if gold answers differ."""
    found: dict[str, Problem] = {}
    for problem in problems:
        found.setdefault(problem.id, problem)
    if repeated := len(problems) - len(found):
        other = sum(problem.answer != found[problem.id].answer for problem in problems)
        note(
            f"{repeated} repeated problems removed"
            + (f", {other} of them with another gold answer: the first one is used" if other else "")
        )
    return list(found.values())


def with_known_answers(problems: Sequence[Problem], store: Store) -> list[Problem]:
    """Replace problems without a gold answer by the store's version, so that a stored answer is not erased."""
    if all(problem.answer for problem in problems):
        return list(problems)
    known = {problem.id: problem for problem in store.problems()}
    return [problem if problem.answer else known.get(problem.id, problem) for problem in problems]


def keep_labels(problems: Sequence[Problem], teacher: Teacher, store: Store) -> None:
    """Store a recording's labels as verdicts for problems without a gold answer."""
    labels, unknown = labels_of(teacher), {problem.id for problem in problems if not problem.answer}
    keys = store.draw_keys(teacher.name, params_key(teacher)) if labels and unknown else {}
    store.verdicts.record(
        [
            (keys[draw], Grade(Verdict.CORRECT if right else Verdict.WRONG, None, "labelled so in the recording"))
            for draw, right in labels.items()
            if draw in keys and draw[0] in unknown
        ],
        LABEL,
    )


def collect_stage(run: Run, *, force: bool = False) -> dict[str, Any]:
    """Collect the rationales of a run's recipe from its teacher into the store.

    Returns:
        The stage's result.

    Raises:
        NsadError: The teacher returned nothing, or it is unreachable.
    """
    recipe, settings = run.recipe, run.recipe.teacher
    key = collect_key(recipe)
    if not force and collected(run, key):
        note("collect: already done with these settings")
        return dict(run.stages()[COLLECT.name]["result"])
    with run.stage(COLLECT.name, key) as result:
        teacher = make_teacher(settings.spec, settings)
        problems = distinct(training_problems(recipe, teacher))
        prompt = prompts.text_prompt(settings.demonstrations, settings.prompt, "{question}")
        budget = Budget(price_of(settings), settings.max_cost, prompt, settings.max_tokens)
        with Store(run.store_path) as store:
            problems = with_known_answers(problems, store)
            summary = CollectSummary()
            try:
                _collect(run, problems, teacher, store, budget, summary)
            except (NsadError, KeyboardInterrupt):
                _report_costs(summary, budget)
                raise
            keep_labels(problems, teacher, store)
        _report(run, summary, budget)
        result.update(
            teacher=teacher.name,
            params=params_key(teacher),
            problems=len(problems),
            problem_ids=[item.id for item in problems],
            draws=summary.stored,
            new=summary.new,
            failed=len(summary.failures),
            out_of_money=summary.out_of_money,
            in_batches=summary.in_batches,
            identical=len(summary.constant),
            tokens=summary.tokens,
            cost=budget.spent if budget.price is not None else None,
            cost_unsure=budget.unsure,
        )
    return dict(result)


def _collect(
    run: Run, problems: list[Problem], teacher: Teacher, store: Store, budget: Budget, summary: CollectSummary
) -> CollectSummary:
    settings, progress = run.recipe.teacher, run.events.progress(COLLECT.name)
    gather: Callable[..., CollectSummary] = functools.partial(_collect_batches, run) if settings.batch else collect
    if settings.until is None:
        return gather(problems, teacher, settings.draws, store, progress, budget=budget, summary=summary)
    with Checker() as checker:
        return collect_until(
            problems,
            teacher,
            settings.draws,
            settings.until,
            store,
            lambda: grade(store, checker, params=params_key(teacher)),
            progress,
            budget=budget,
            summary=summary,
            gather=gather,
        )


def _collect_batches(
    run: Run, problems: Sequence[Problem], teacher: Teacher, draws: int, store: Store, *rest: Any, **more: Any
) -> CollectSummary:
    """Call collect_batches; after an interrupt, log how to fetch the batches that the API continues to process."""
    from nsad_cli.collection.batch_collect import collect_batches
    from nsad_cli.teachers.openai import OpenAITeacher

    try:
        assert isinstance(teacher, OpenAITeacher)  # ensured by make_teacher
        return collect_batches(problems, teacher, draws, store, *rest, **more)
    except KeyboardInterrupt:
        held = store.batches.held_draws(teacher.name, params_key(teacher))
        if held:
            note(
                f"collect: {sum(map(len, held.values()))} draws are in batches that the API continues to process; "
                f"fetch them with `{_fetch_command(run)}`"
            )
        raise


def _report(run: Run, summary: CollectSummary, budget: Budget) -> None:
    """Log what a collection lacks.

    Raises:
        NsadError: Nothing was collected.
    """
    failures = [f"{problem}: {why}" for problem, why in summary.failures.items()]
    for failure in failures[:5]:
        note(f"collect: {failure}")
    if summary.out_of_money:
        note(
            f"collect: stopped before exceeding teacher.max_cost (${run.recipe.teacher.max_cost:g} for each command); "
            f"${budget.spent:.4f} spent"
        )
    if budget.unsure:
        note(f"collect: up to ${budget.unsure:.4f} more for replies that were lost or lack usage")
    if summary.in_batches:
        note(
            f"collect: {summary.in_batches} draws are in open batches and were not requested again; "
            f"fetch them with `{_fetch_command(run)}`"
        )
    if failures and not summary.stored:
        raise NsadError(
            "collect: the teacher returned nothing",
            failures[0],
            "fix the cause and run the same command again: draws that arrived are kept",
        )


def _report_costs(summary: CollectSummary, budget: Budget) -> None:
    """Log what a collection that ended early has stored and spent."""
    cost = f", ${budget.spent:.4f} spent" if budget.price is not None else ""
    if budget.unsure:
        cost += f", up to ${budget.unsure:.4f} more for replies that were lost or lack usage"
    if summary.new or cost:
        note(f"collect: {summary.new} draws arrived and are stored ({summary.tokens} tokens{cost})")


def _fetch_command(run: Run) -> str:
    return f"nsad collect --batch --run {run.name}"


def grade_stage(run: Run, *, force: bool = False) -> dict[str, Any]:
    """Grade every draw of a run's collection.

    Args:
        run: A run whose collection has finished.
        force: Grade draws again that have a verdict.

    Returns:
        The stage's result: the counts of verdicts.
    """
    collection = finished_stage(run, COLLECT.name)
    key, params = grade_key(collection), collection["result"]["params"]
    if not force and run.done(GRADE.name, key):
        note("grade: already done with these settings")
        with Store(run.store_path) as store:  # reviews may have changed verdicts since
            return {"ledger": count_verdicts(store, params).as_dict()}
    with run.stage(GRADE.name, key) as result, Store(run.store_path) as store, Checker() as checker:
        if force:
            store.verdicts.clear(params)
        found = grade(store, checker, run.events.progress(GRADE.name), params=params)
        result.update(ledger=found.as_dict())
    return dict(result)


def graded_rationales(run: Run) -> tuple[list[Rationale], list[Rationale]]:
    """Return (D+, D−): the correct and the wrong rationales of a run's problems by its teacher.

    With training.drop_wrong_steps, D+ has no rationale with a wrong step.

    Raises:
        UsageError: The run has not finished collecting and grading.
        NsadError: Every correct rationale has a wrong step.
    """
    finished_stage(run, GRADE.name)
    collection, settings = finished_stage(run, COLLECT.name)["result"], run.recipe.teacher
    mine = set(collection["problem_ids"])
    most = max(settings.draws, settings.until.max_draws if settings.until else 0)
    with Store(run.store_path) as store:
        positive, negative = (
            [
                item
                for item in store.rationales(verdict, teacher=collection["teacher"], params=collection["params"])
                if item.problem.id in mine and item.index < most
            ]
            for verdict in (Verdict.CORRECT, Verdict.WRONG)
        )
        if run.recipe.training.drop_wrong_steps:
            positive = without_wrong_steps(positive, store, collection["teacher"], collection["params"])
    return positive, negative


def finished_stage(run: Run, name: str) -> dict[str, Any]:
    """Return a finished stage's entry in the manifest.

    Raises:
        UsageError: The run has not finished it.
    """
    state = run.stages().get(name, {})
    if state.get("state") != "finished":
        raise UsageError(
            f"run `{run.name}` has not finished `{name}`",
            "a later stage needs its result",
            f"run `{stages()[name].command_line} --run {run.name}` first",
        )
    return dict(state)
