"""From a ranker's logit to a score: calibration, the weight of a vote, and the fitted weight under `wsc`."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nsad_cli.rankers.calibration import Calibration
from nsad_cli.rankers.weighting import Weighting
from nsad_cli.types import Score

if TYPE_CHECKING:
    from nsad_cli.types import Chain


@dataclass(frozen=True, slots=True)
class Scoring:
    """How logits become scores.

    Attributes:
        calibration: The calibration of logits to probabilities.
        weighting: The weight of a probability under `asc`; by default the probability itself.
        likelihood: The exponent of exp(mean log-probability) under `wsc`; None if none was fitted.
        refused: Why the ranker must not weight votes; None if it may.
    """

    calibration: Calibration = field(default_factory=Calibration)
    weighting: Weighting = field(default_factory=Weighting)
    likelihood: float | None = None
    refused: str | None = None

    def score(self, logit: float, chain: Chain) -> Score:
        """Score a chain with this logit."""
        probability = self.calibration(logit)
        return Score(self.weighting(probability), probability, likelihood_of(chain, self.likelihood))

    def with_weights(self, weights: str) -> Scoring:
        """Return the scoring for a value of `solve.weights`."""
        if weights == "fitted":
            return self
        plain = dataclasses.replace(self, weighting=Weighting(), likelihood=None)
        return plain if weights == "calibrated" else dataclasses.replace(plain, calibration=Calibration())

    def record(self) -> dict[str, Any]:
        """The values for a ranker's metadata; the calibration is stored as a tensor."""
        return {
            "weighting": dataclasses.asdict(self.weighting),
            "likelihood": self.likelihood,
            "refused": self.refused,
        }

    @classmethod
    def of(cls, about: dict[str, Any], calibration: Calibration) -> Scoring:
        """Return the scoring of a ranker's metadata; a ranker of an earlier version weights by its probability."""
        weighting = Weighting(**about["weighting"]) if about.get("weighting") else Weighting()
        return cls(calibration, weighting, about.get("likelihood"), about.get("refused"))


def likelihood_of(chain: Chain, exponent: float | None) -> float | None:
    """Return exp(mean log-probability) ** exponent; None without either."""
    if exponent is None or chain.logprob is None:
        return None
    return math.exp(exponent * chain.logprob)
