"""Access to the problems that a run has collected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.store.rationales import Store

if TYPE_CHECKING:
    from nsad_cli.runs.run import Run
    from nsad_cli.types import Problem


def collected_problems(run: Run) -> list[Problem]:
    """List the problems of the run's finished collection; empty if it has none."""
    state = run.stages().get("collect", {})
    problem_ids = set(state.get("result", {}).get("problem_ids", []))
    if not problem_ids:
        return []
    with Store(run.store_path) as store:
        return [problem for problem in store.problems() if problem.id in problem_ids]
