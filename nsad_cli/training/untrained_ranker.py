"""A ranker of the recipe's kind, before its training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.rankers.base import RankerContext, Scorer
from nsad_cli.rankers.kinds import scorer_class

if TYPE_CHECKING:
    from nsad_cli.inference.session import Session


def untrained_ranker(session: Session) -> Scorer:
    """Create the scorer of `training.ranker.kind` on the session's models."""
    recipe = session.recipe
    context = RankerContext(
        session.student, session.adapters, recipe.training.ranker, session.adapter_settings, recipe.seed, session.load
    )
    return scorer_class(recipe.training.ranker.kind).create(context)
