"""Opening of the review of disputed samples from the data screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.dashboard.live.store_follower import file_id
from nsad_cli.errors import NsadError
from nsad_cli.store.pages import StorePages
from nsad_cli.types import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nsad_cli.dashboard.screens.base import View


def find_disputed(path: Path, params: str) -> Callable[[], View] | None:
    """Return a factory of the review screen; None if there are no disputed samples to review.

    Raises:
        NsadError: The store cannot be read.
    """
    from nsad_cli.dashboard.screens.review import ReviewView
    from nsad_cli.grading.review_session import ReviewSession, review_items

    try:
        with StorePages(path) as pages:
            found, file = review_items(pages.reviews.labels(params, [Verdict.DISPUTED])), file_id(path)
    except OSError as error:
        raise NsadError("cannot open the store", str(error), "check the store") from error
    return (lambda: ReviewView(path, file, ReviewSession(found))) if found else None
