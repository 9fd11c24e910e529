"""Collecting and grading as stages: their keys, and the problems that they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.collection.collect import INCOMPLETE_KEYS, params_key
from nsad_cli.errors import UsageError
from nsad_cli.grading.grade import GRADER_VERSION
from nsad_cli.problems import load_problems, parse_spec
from nsad_cli.store.verdicts import LABEL
from nsad_cli.teachers import Teacher, labels_of, source_stamp
from nsad_cli.types import Grade, Problem, Verdict
from nsad_cli.utils.files import file_stamp, first_few
from nsad_cli.utils.hashing import content_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nsad_cli.config.schema import Recipe
    from nsad_cli.runs.run import Run
    from nsad_cli.store.rationales import Store
    from nsad_cli.utils.reporting import Note


HOW_ASKED = {
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
"""The teacher's settings that change no draw."""


def collect_key(recipe: Recipe) -> str:
    """The key of a recipe's collection."""
    train = recipe.problems.train
    read = [source_stamp(recipe.teacher.spec), file_stamp(parse_spec(train).path) if train else None]
    return content_key("collect", recipe.problems, recipe.teacher.model_dump(exclude=HOW_ASKED), read)


def collected(run: Run, key: str) -> bool:
    """Whether a run's collection is done with these settings, and no draw of it is still to be had."""
    result = run.stages().get("collect", {}).get("result", {})
    return run.done("collect", key) and not any(result.get(name) for name in INCOMPLETE_KEYS)


def grade_key(collection: Mapping[str, Any]) -> str:
    """The key of the grading that follows a finished collection (the stage's state)."""
    return content_key("grade", collection["key"], collection["ended"], GRADER_VERSION)


def graded(run: Run) -> bool:
    """Whether every draw of a run's collection has its verdict by this version of the grader."""
    collection = run.stages().get("collect", {})
    return collection.get("state") == "finished" and run.done("grade", grade_key(collection))


def training_problems(recipe: Recipe, teacher: Teacher, note: Note) -> list[Problem]:
    """The problems that a recipe names, else those that its teacher brings.

    Raises UsageError where there are neither.
    """
    limit = recipe.problems.limit
    own = teacher.problems()
    if own is not None and recipe.problems.train is None:
        return own[:limit]
    if recipe.problems.train is None:
        raise UsageError(
            "no training problems are named",
            "problems.train is empty and this teacher brings none",
            "give --problems NAME[:SPLIT][@PATH], or problems.train in the recipe",
        )
    return load_problems(recipe.problems.train, limit=limit, on_corrupt=first_few(note))


def distinct(problems: Sequence[Problem], note: Note) -> list[Problem]:
    """Problems without those that are stated before them; of several gold answers the first one counts."""
    found: dict[str, Problem] = {}
    for problem in problems:
        found.setdefault(problem.id, problem)
    if repeated := len(problems) - len(found):
        other = sum(problem.answer != found[problem.id].answer for problem in problems)
        note(
            f"{repeated} problems are stated twice and count once"
            + (f", {other} of them with another gold answer: the first one counts" if other else "")
        )
    return list(found.values())


def with_known_answers(problems: Sequence[Problem], store: Store) -> list[Problem]:
    """Problems that bring no gold answer as the store has them, where it knows one: nothing is to erase that."""
    if all(problem.answer for problem in problems):
        return list(problems)
    known = {problem.id: problem for problem in store.problems()}
    return [problem if problem.answer else known.get(problem.id, problem) for problem in problems]


def keep_labels(problems: Sequence[Problem], teacher: Teacher, store: Store) -> None:
    """Take the labels that a recording brings for verdicts, where no gold answer is known to grade by."""
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
