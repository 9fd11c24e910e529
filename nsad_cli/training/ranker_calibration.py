"""Calibrating a trained ranker on the student's own chains for problems that it has not learned from."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.rankers.base import Scorer, logits_of
from nsad_cli.rankers.calibration import Calibration, expected_calibration_error, fit_platt, ranking_accuracy, sigmoid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.models.packing import Example

MIN_CHAINS = 10
"""Minimum number of correct and of incorrect chains; with fewer, two parameters would fit noise."""


@dataclass(frozen=True, slots=True)
class Graded:
    """A held-out chain as the ranker reads it, with its problem and whether it is right."""

    problem_id: str
    example: Example
    right: bool


def calibrate(scorer: Scorer, graded: Sequence[Graded], tokens: int) -> tuple[Calibration, dict[str, Any]]:
    """Fit the calibration, and report how well the ranker does on these chains.

    The error afterwards is measured by halves: each half of the problems with the calibration of the other, so that
    nothing is measured on what it was fitted to. With too few chains, or a ranker that ranks the wrong way round,
    scores stay as they are, and `calibrated` and `why` say so.
    """
    logits = logits_of(scorer, [item.example for item in graded], tokens)
    right = [item.right for item in graded]
    groups = [
        [(logit, item.right) for logit, item in group]
        for _, group in itertools.groupby(zip(logits, graded, strict=True), key=lambda both: both[1].problem_id)
    ]
    accuracy, pairs = ranking_accuracy(groups)
    report: dict[str, Any] = {
        "chains": len(graded),
        "right": sum(right),
        "problems": len(groups),
        "pairs": pairs,
        "ranking_accuracy": accuracy,
        "ece_before": expected_calibration_error([sigmoid(z) for z in logits], right) if graded else None,
        "ece_after": None,
        "calibrated": False,
    }
    if min(sum(right), len(right) - sum(right)) < MIN_CHAINS or len(groups) < 2:
        return Calibration(), {
            **report,
            "why": f"that takes {MIN_CHAINS} right and {MIN_CHAINS} wrong chains of two problems",
        }
    fitted = fit_platt(logits, right)
    if fitted is None:
        return Calibration(), {**report, "why": "over all problems, right chains score no higher than wrong ones"}
    halves = [[both for group in groups[start::2] for both in group] for start in (0, 1)]
    scores: list[float] = []
    truths: list[bool] = []
    for mine, other in (halves, halves[::-1]):
        crossed = fit_platt([z for z, _ in other], [good for _, good in other]) or Calibration()
        scores += [crossed(z) for z, _ in mine]
        truths += [good for _, good in mine]
    report |= {
        "ece_after": expected_calibration_error(scores, truths),
        "calibrated": True,
        "scale": fitted.scale,
        "shift": fitted.shift,
    }
    return fitted, report


def unseen_report(
    scorer: Scorer, calibration: Calibration, graded: Sequence[Graded], tokens: int
) -> dict[str, Any] | None:
    """Report the calibration error on problems that the student itself was not trained on; None without chains.

    It has been trained on most of the problems that calibrate: where it is right there far more often than here, scores
    are too high for new problems.
    """
    if not graded:
        return None
    right = [item.right for item in graded]
    logits = logits_of(scorer, [item.example for item in graded], tokens)
    return {
        "problems": len({item.problem_id for item in graded}),
        "chains": len(graded),
        "right": sum(right),
        "ece": expected_calibration_error([calibration(z) for z in logits], right),
    }
