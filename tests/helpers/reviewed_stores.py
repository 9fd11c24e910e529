"""Stores with one draw of each problem, graded as asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.types import Draw, Grade, Problem, Verdict

if TYPE_CHECKING:
    from nsad_cli.store.rationales import Store


def fill(store: Store, verdicts: list[Verdict]) -> dict[int, Verdict]:
    """One draw of one problem a verdict; verdicts by the draws' keys."""
    problems = [Problem(f"p{i}", f"What is {i}?", str(i), "test") for i in range(len(verdicts))]
    store.add_problems(problems)
    store.add_draws([Draw(item.id, "teacher", 0, f"text of {item.id}") for item in problems], "k")
    return regrade(store, verdicts, "1")


def regrade(store: Store, verdicts: list[Verdict], grader: str) -> dict[int, Verdict]:
    keys = [item.key for item in store.verdicts.ungraded(grader)]
    store.verdicts.record([(k, Grade(v, "9", "why")) for k, v in zip(keys, verdicts, strict=True)], grader)
    return dict(zip(keys, verdicts, strict=True))
