"""`training.drop_wrong_steps`: right rationales that contain a wrong step are kept out of D+."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError
from nsad_cli.grading.step_checks import check_steps
from nsad_cli.grading.stored_steps import right_with_wrong_step
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nsad_cli.store.rationales import Store
    from nsad_cli.types import Rationale

_noted: set[str] = set()
"""What was noted already: every training stage of a run reads the same rationales."""


def without_wrong_steps(positive: Sequence[Rationale], store: Store, teacher: str, params: str) -> list[Rationale]:
    """Remove right rationales that contain a wrong step, by the store's checks, and note how many.

    Args:
        positive: The right rationales.
        store: The store that they are from.
        teacher: Their teacher.
        params: The parameters of their draws.

    Returns:
        The others, in order.

    Raises:
        NsadError: None is left.
    """
    slips = {(draw.problem_id, draw.number) for draw in right_with_wrong_step(store, params) if draw.teacher == teacher}
    return _kept(positive, lambda item: (item.problem.id, item.index) in slips)


def without_wrong_texts(positive: Sequence[Rationale]) -> list[Rationale]:
    """Remove right rationales that contain a wrong step, as `without_wrong_steps` does, by checking their texts."""
    return _kept(positive, lambda item: check_steps(item.text).first_wrong is not None)


def _kept(positive: Sequence[Rationale], is_wrong: Callable[[Rationale], bool]) -> list[Rationale]:
    kept = [item for item in positive if not is_wrong(item)]
    dropped = len(positive) - len(kept)
    if positive and not kept:
        raise NsadError(
            "D+ (right rationales) is empty",
            f"{'the only one has' if dropped == 1 else f'all {dropped} have'} a wrong step, and "
            "training.drop_wrong_steps keeps them out",
            "keep them with --set training.drop_wrong_steps=false, or collect more draws",
        )
    text = f"{dropped} of {len(positive)} right rationales are kept out of D+: they have a wrong step"
    if dropped and text not in _noted:
        _noted.add(text)
        note(f"{text} (training.drop_wrong_steps)")
    return kept
