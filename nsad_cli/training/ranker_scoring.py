"""How a ranker's probabilities weight votes: exponents fitted to the accuracy of votes, and whether it may at all."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from nsad_cli.rankers.measurement import measure, why_refused
from nsad_cli.rankers.scoring import Scoring, likelihood_of
from nsad_cli.rankers.weighting import LIKELIHOOD_EXPONENTS, ODDS_EXPONENTS, Weighting, fit_exponent
from nsad_cli.types import Score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.rankers.calibration import Calibration
    from nsad_cli.training.ranker_chains import Answered
    from nsad_cli.types import Chain


def fit_scoring(
    answered: Sequence[Answered], probabilities: Sequence[Sequence[float]], calibration: Calibration
) -> tuple[Scoring, dict[str, Any]]:
    """Fit the weights of votes, and measure the ranker.

    Args:
        answered: Problems with graded chains.
        probabilities: The ranker's probability of each chain; a fitted ranker's come from fits to other problems.
        calibration: The calibration that gives these probabilities.

    Returns:
        The scoring, and the report: `measured` (see measurement.measure), `weighting`, `likelihood` and `refused`.
    """
    chains = [item.chains for item in answered]
    report = measure(chains, probabilities)
    refused = why_refused(report)
    scored = [
        [dataclasses.replace(chain, probability=p) for chain, p in zip(own, given, strict=True)]
        for own, given in zip(chains, probabilities, strict=True)
    ]
    weighting = Weighting("odds", fit_exponent(scored, "asc", _by_odds, ODDS_EXPONENTS))
    scoring = Scoring(calibration, weighting, fit_likelihood(chains), refused)
    return scoring, {"measured": report, **scoring.record()}


def fit_likelihood(chains: Sequence[Sequence[Chain]]) -> float | None:
    """Fit the exponent of `wsc`; None without log-probabilities."""
    known = [own for own in chains if all(chain.logprobs for chain in own)]
    return fit_exponent(known, "wsc", _by_likelihood, LIKELIHOOD_EXPONENTS) if known else None


def _by_odds(chain: Chain, exponent: float) -> Chain:
    assert chain.probability is not None
    return chain.scored(Score(Weighting("odds", exponent)(chain.probability), chain.probability))


def _by_likelihood(chain: Chain, exponent: float) -> Chain:
    return dataclasses.replace(chain, likelihood=likelihood_of(chain, exponent))


def event_metrics(report: dict[str, Any]) -> dict[str, Any]:
    """The report as metrics of an event."""
    measured = report["measured"]
    pairs = measured["pair_accuracy"]
    return {
        "ranking_accuracy": pairs["value"],
        "pairs": pairs["pairs"],
        "auc": measured["auc"],
        "ece": measured["ece"],
        "refused": report["refused"],
    }
