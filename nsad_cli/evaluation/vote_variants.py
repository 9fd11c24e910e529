"""The ways to weight votes that an ablation compares, and a ranker's logits from its stored scores."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.config.ranker_kinds import STEPS
from nsad_cli.evaluation.outcomes import ANY
from nsad_cli.grading.step_checks import check_steps
from nsad_cli.rankers.calibration import Calibration
from nsad_cli.rankers.metadata import ADAPTER, ranker_name, read_metadata, read_scoring
from nsad_cli.rankers.scoring import Scoring, likelihood_of
from nsad_cli.rankers.steps import EXPONENT
from nsad_cli.rankers.weighting import Weighting
from nsad_cli.types import Score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nsad_cli.evaluation.stored_chains import Side
    from nsad_cli.types import Chain

    Rescore = Callable[[Chain], Score | None]

COUNT, LOGPROB, STEP_CHECKS = "none", "log probability", "step checks"
"""Scores that need no training: every chain counts alike, the mean log-probability, the share of checked steps."""
WEIGHTS = ("fitted", "calibrated", "raw")
"""The values of `solve.weights`."""
EDGE = 1e-15
"""Probabilities are clipped to [EDGE, 1 − EDGE] before their logit is taken."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to weight votes: which score, how it becomes a weight, and the rule; `rescore` gives a chain's score."""

    score: str
    weights: str
    rule: str
    rescore: Rescore


@dataclass(frozen=True, slots=True)
class RankerScores:
    """The scores that a ranker has stored with one value of `solve.weights`.

    Attributes:
        kind: The kind of ranker.
        scoring: Its calibration and its fitted weights.
        weights: The value of `solve.weights`.
        ranker: The name under which the scores are stored.
    """

    kind: str
    scoring: Scoring
    weights: str
    ranker: str

    @property
    def name(self) -> str:
        """What tables call the ranker."""
        return f"ranker ({self.kind})"

    @property
    def needs_no_store(self) -> bool:
        """Whether chains can be scored from their texts, without a model."""
        return self.kind == STEPS

    def logit(self, chain: Chain) -> float | None:
        """Return the ranker's logit of a chain from its stored probability; None if the chain has no score."""
        probability = chain.shown_score  # earlier versions stored it as the weight
        if probability is None:
            return None
        p = min(max(probability, EDGE), 1 - EDGE)
        z, calibration = math.log(p / (1 - p)), self.scoring.calibration
        return z if self.weights == "raw" else (z - calibration.shift) / calibration.scale

    def modes(self) -> list[str]:
        """Return the values of `solve.weights` that give different weights."""
        fitted = ["fitted"] if self.scoring.weighting != Weighting() else []
        calibrated = ["calibrated"] if self.scoring.calibration != Calibration() else []
        return [*fitted, *calibrated, "raw"]


def ranker_scores(side: Side) -> list[RankerScores]:
    """Return how the run's current ranker may have scored the model's chains, by the run's own setting first.

    Raises:
        NsadError: The ranker's folder contains no ranker.
    """
    if side.ranker() is None:
        return []
    own, folder = side.run.recipe.solve.weights, side.run.adapter_path(ADAPTER)
    kind, scoring = read_metadata(folder)["kind"], read_scoring(folder)
    names = sorted(WEIGHTS, key=lambda name: name != own)
    return [RankerScores(kind, scoring, name, ranker_name(folder, name)) for name in names]


def variants(stored: RankerScores | None, has_logprobs: bool) -> Iterator[Variant]:
    """List the variants: counts, scores that need no training, the ranker's, and the upper bound.

    Args:
        stored: The ranker's scores; None without a ranker, or if it has not scored all chains.
        has_logprobs: Whether the chains have log-probabilities.

    Yields:
        The variants.
    """
    yield Variant(COUNT, "one each", "sc", lambda _: None)
    if has_logprobs:
        yield from _by_logprob(stored)
    exponents = {EXPONENT: ""}
    if stored is not None and stored.needs_no_store:
        exponents = {**exponents, stored.scoring.weighting.exponent: " (fitted)"}
    share = functools.lru_cache(maxsize=None)(lambda text: check_steps(text).share)
    for exponent, how in exponents.items():
        yield Variant(STEP_CHECKS, f"share^{exponent:g}{how}", "asc", _by_steps(share, exponent))
    yield Variant(STEP_CHECKS, "highest", "best", _by_steps(share, 1.0))
    if stored is not None and not stored.needs_no_store:
        yield from _by_ranker(stored)
    yield Variant(COUNT, "upper bound", ANY, lambda _: None)


def _by_logprob(stored: RankerScores | None) -> Iterator[Variant]:
    """Weights by the mean token probability, exp(mean log-probability)."""
    yield Variant(LOGPROB, "probability", "wsc", lambda _: None)
    exponent = None if stored is None else stored.scoring.likelihood
    if exponent is not None:
        name = f"probability^{exponent:g} (fitted)"
        yield Variant(LOGPROB, name, "wsc", lambda chain: Score(1.0, likelihood=likelihood_of(chain, exponent)))

    def highest(chain: Chain) -> Score | None:
        value = likelihood_of(chain, 1.0)
        return None if value is None else Score(value)

    yield Variant(LOGPROB, "highest", "best", highest)


def _by_steps(share: Callable[[str], float | None], exponent: float) -> Rescore:
    weighting = Weighting("power", exponent)

    def rescore(chain: Chain) -> Score | None:
        value = share(chain.text)
        return None if value is None else Score(weighting(value))

    return rescore


def _by_ranker(stored: RankerScores) -> Iterator[Variant]:
    """Weights by the ranker's logits; fitted weights have no sums of their own, because those add the probability."""
    for weights in stored.modes():
        scoring = stored.scoring.with_weights(weights)
        name = f"fitted: {scoring.weighting.form}^{scoring.weighting.exponent:g}" if weights == "fitted" else weights
        for rule in ("asc",) if weights == "fitted" else ("asc", "asc-add", "asc-add2"):
            yield Variant(stored.name, name, rule, _rescored(stored, scoring))
    yield Variant(stored.name, "highest", "best", _rescored(stored, stored.scoring.with_weights("raw")))


def _rescored(stored: RankerScores, scoring: Scoring) -> Rescore:
    def rescore(chain: Chain) -> Score | None:
        logit = stored.logit(chain)
        return None if logit is None else scoring.score(logit, chain)

    return rescore
