"""Right rationales with a wrong step: each text is checked once, and the store keeps the counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.errors import NsadError
from nsad_cli.grading.step_checks import VERSION, check_steps
from nsad_cli.utils.logs import logger, note

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nsad_cli.store.rationales import Store
    from nsad_cli.store.steps import RightDraw

CHUNK_SIZE = 512
"""Draws that are checked and committed together."""


def record_steps(store: Store, texts: Iterable[tuple[int, str]]) -> None:
    """Check the steps of texts, given by the key of their draw, and store the counts."""
    checked = [(key, check_steps(text)) for key, text in texts]
    if checked:
        store.steps.record([(key, found.checked, found.right) for key, found in checked], VERSION)


def right_with_wrong_step(store: Store, params: str | None = None) -> list[RightDraw]:
    """List the right draws that contain a wrong step.

    Draws without counts of this version are checked first, about a millisecond each. If the store cannot be written,
    the counts are not kept.

    Args:
        store: The store.
        params: Only draws made with these parameters; None for all.
    """
    found: list[RightDraw] = []
    after, writes = 0, not store.read_only
    while chunk := store.steps.unchecked(VERSION, params, after, CHUNK_SIZE):
        if not after and len(chunk) == CHUNK_SIZE:
            kept = "" if writes else "; the store is write-protected, so the result cannot be kept"
            note(f"checking the written steps of the right rationales{kept}")
        after = chunk[-1].key
        if writes:
            try:
                record_steps(store, ((draw.key, draw.text) for draw in chunk))
            except NsadError as error:
                logger.debug("step checks are not stored: %s", error)
                writes = False
        if not writes:
            found += [draw for draw in chunk if check_steps(draw.text).first_wrong]
    return found + store.steps.with_wrong_step(VERSION, params)
