"""Calibration of a trained ranker on the student's own chains for problems that the ranker was not trained on."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.rankers.base import Scorer, logits_of
from nsad_cli.rankers.calibration import Calibration, expected_calibration_error, fit_platt, sigmoid
from nsad_cli.rankers.measurement import auc, pair_accuracy, why_refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.models.packing import Example

MIN_CHAINS = 10
"""Minimum number of correct and of incorrect chains; with fewer, two parameters would fit noise."""


@dataclass(frozen=True, slots=True)
class Graded:
    """A held-out chain, tokenised for the ranker, with its problem's id and whether it is right."""

    problem_id: str
    example: Example
    right: bool


def calibrate(scorer: Scorer, graded: Sequence[Graded], tokens: int) -> tuple[Calibration, dict[str, Any]]:
    """Fit the calibration and report the ranker's accuracy and calibration error.

    The error after calibration is cross-validated: each half of the problems is measured with a calibration fitted to
    the other half.

    Args:
        scorer: The ranker.
        graded: The chains.
        tokens: The maximum number of tokens per forward pass.

    Returns:
        The calibration and the report. With too few chains, or if right chains do not score higher, the calibration is
        the identity, `calibrated` is false and `why` has the reason.
    """
    logits = logits_of(scorer, [item.example for item in graded], tokens)
    right = [item.right for item in graded]
    groups = [
        [(logit, item.right) for logit, item in group]
        for _, group in itertools.groupby(zip(logits, graded, strict=True), key=lambda both: both[1].problem_id)
    ]
    accuracy = pair_accuracy(groups)
    report: dict[str, Any] = {
        "chains": len(graded),
        "right": sum(right),
        "problems": len(groups),
        "pairs": accuracy.pairs,
        "ranking_accuracy": accuracy.value,
        "ranking_ci95": None if accuracy.low is None else [accuracy.low, accuracy.high],
        "auc": auc(groups),
        "refused": None if accuracy.low is None else why_refused({"pair_accuracy": asdict(accuracy)}),
        "ece_before": expected_calibration_error([sigmoid(z) for z in logits], right) if graded else None,
        "ece_after": None,
        "calibrated": False,
    }
    if min(sum(right), len(right) - sum(right)) < MIN_CHAINS or len(groups) < 2:
        return Calibration(), {
            **report,
            "why": f"it needs {MIN_CHAINS} right and {MIN_CHAINS} wrong chains of at least two problems",
        }
    fitted = fit_platt(logits, right)
    if fitted is None:
        return Calibration(), {**report, "why": "over all problems, right chains score no higher than wrong ones"}
    halves = [[both for group in groups[start::2] for both in group] for start in (0, 1)]
    scores: list[float] = []
    truths: list[bool] = []
    for mine, other in (halves, halves[::-1]):
        calibration = fit_platt([z for z, _ in other], [good for _, good in other]) or Calibration()
        scores += [calibration(z) for z, _ in mine]
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

    The student was trained on most of the problems used for calibration. If it is right on those far more often than
    here, calibrated scores are too high for new problems.
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
