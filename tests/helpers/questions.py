"""Problems made of nothing but their questions."""

from __future__ import annotations

from nsad_cli.types import Problem, problem_id


def problems(*questions: str) -> list[Problem]:
    """Problems with these questions; the answer of each is 1."""
    return [Problem(problem_id(question), question, "1", "test") for question in questions]


def numbered_problems(count: int) -> list[Problem]:
    """Problems whose questions differ in a number."""
    return problems(*(f"question number {i}" for i in range(count)))
