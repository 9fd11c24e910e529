"""Recompute the answer classes of a run's stored chains that an earlier version of the grader gave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError
from nsad_cli.grading.chains import grade_chains
from nsad_cli.grading.checker import Checker
from nsad_cli.store.chains import ChainStore
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.types import Chain


LOCK_TIMEOUT_SECONDS = 0.5
"""Seconds to wait for a process that writes."""


def refresh_classes(path: Path) -> int:
    """Recompute the stored answers and classes if they are another version's, and note how many problems changed.

    Args:
        path: The chain store.

    Returns:
        The number of problems that changed; 0 also if the store does not exist or cannot be written.
    """
    if not path.is_file():
        return 0
    try:
        with ChainStore(path, read_only=True, lock_timeout=LOCK_TIMEOUT_SECONDS) as store:
            if store.class_versions.is_current():
                return 0
    except NsadError:
        return 0  # whoever reads the store next reports why
    try:
        changed = _refresh(path)
    except NsadError as error:
        note(f"the answer classes in {path} are an earlier version's, and cannot be recomputed: {error.why}")
        return 0
    if changed:
        note(f"recomputed the answer classes of {changed} problem{'' if changed == 1 else 's'} in {path}")
    return changed


def _refresh(path: Path) -> int:
    changed = set()
    with ChainStore(path) as store, Checker() as checker:
        for model, model_key, sampling, *_ in store.sets():
            key = {"model": model, "model_key": model_key, "sampling": sampling}
            for problem in store.problems(**key):
                chains = store.get(problem.id, **key)
                graded = grade_chains(chains, problem.answer, checker)
                different = [done for done, old in zip(graded, chains, strict=True) if _stored(done) != _stored(old)]
                if different:
                    store.class_versions.replace(different, **key)
                    changed.add(problem.id)
        store.class_versions.record()
    return len(changed)


def _stored(chain: Chain) -> tuple[str | None, int | None, bool | None]:
    return chain.answer, chain.answer_class, chain.correct
