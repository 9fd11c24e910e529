"""The ranker without weights: the share of a chain's checked steps that hold, raised to a power."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.config.ranker_kinds import STEPS
from nsad_cli.grading.step_checks import check_steps
from nsad_cli.rankers.weighting import Weighting
from nsad_cli.types import Score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.types import Chain, Problem

EXPONENT = 4.0
"""Without a fit: of four chains with half of their steps right, each weighs a sixteenth of one with all steps right."""
EXPONENTS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


class StepsRanker:
    """Weights a chain by (right ÷ checked steps) ** exponent.

    A chain without a checked step gets no score, so the vote gives it the mean of the others; if no chain has one, the
    vote is that of `sc`.
    """

    def __init__(self, weighting: Weighting | None = None, name: str = STEPS, refused: str | None = None) -> None:
        self.weighting, self.name, self.refused = weighting or Weighting("power", EXPONENT), name, refused

    def score(self, problem: Problem, chains: Sequence[Chain]) -> list[Score | None]:  # noqa: ARG002  # see Ranker
        """Score each chain by its own text; None for one without a checked step."""
        shares = [check_steps(chain.text).share for chain in chains]
        return [None if share is None else Score(self.weighting(share)) for share in shares]
