"""How well a ranker ranks: pairs of a problem's right and wrong chains, AUC, and what needs no training at all."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.grading.step_checks import check_steps
from nsad_cli.rankers.calibration import expected_calibration_error
from nsad_cli.utils.statistics import Z95

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nsad_cli.types import Chain

Groups = list[list[tuple[float, bool]]]
"""Each problem's (score, whether it is right)."""


@dataclass(frozen=True, slots=True)
class PairAccuracy:
    """The share of pairs of a right and a wrong chain of one problem that are ranked rightly, with a 95 % interval.

    Attributes:
        value: The share, ties half; None without a pair.
        low: The lower limit; None with fewer than two problems that have pairs.
        high: The upper limit.
        pairs: The number of pairs.
        problems: The number of problems that have pairs.
    """

    value: float | None
    low: float | None
    high: float | None
    pairs: int
    problems: int


def pair_accuracy(groups: Groups) -> PairAccuracy:
    """Measure the accuracy within problems; the interval treats each problem as one observation (a cluster).

    It is the interval of a ratio of means: problems' pairs are dependent, problems are not (Cochran 1977, section 6).
    """
    counts = [found for group in groups if (found := _won(group))[1]]
    pairs = sum(size for _, size in counts)
    if not pairs:
        return PairAccuracy(None, None, None, 0, 0)
    value = sum(won for won, _ in counts) / pairs
    k = len(counts)
    if k < 2:
        return PairAccuracy(value, None, None, pairs, k)
    spread = math.sqrt(k / (k - 1) * sum((won - value * size) ** 2 for won, size in counts)) / pairs
    return PairAccuracy(value, max(0.0, value - Z95 * spread), min(1.0, value + Z95 * spread), pairs, k)


def _won(group: Sequence[tuple[float, bool]]) -> tuple[float, int]:
    right, wrong = ([score for score, good in group if good is kind] for kind in (True, False))
    won = sum((mine > other) + 0.5 * (mine == other) for mine in right for other in wrong)
    return won, len(right) * len(wrong)


def auc(groups: Groups) -> float | None:
    """The probability that any right chain scores above any wrong one, over all problems; None without both kinds."""
    flat = sorted(pair for group in groups for pair in group)
    positive = sum(good for _, good in flat)
    negative = len(flat) - positive
    if not positive or not negative:
        return None
    won, below, place = 0.0, 0, 0
    while place < len(flat):
        end = place
        while end < len(flat) and flat[end][0] == flat[place][0]:
            end += 1
        good = sum(good for _, good in flat[place:end])
        bad = end - place - good
        won += good * (below + bad / 2)
        below, place = below + bad, end
    return won / (positive * negative)


def measure(problems: Sequence[Sequence[Chain]], scores: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Report a ranker's scores of graded chains beside scores that need no training.

    Args:
        problems: Each problem's chains, with their correctness.
        scores: The probabilities of the same chains.

    Returns:
        `pair_accuracy` (see PairAccuracy), `auc` and `ece` of the scores; in `free` the same without `ece` for mean
        log-probabilities and step checks.
    """
    groups = _groups(problems, scores)
    flat = [pair for group in groups for pair in group]
    found: dict[str, Any] = _ranked(groups)
    found["ece"] = expected_calibration_error([p for p, _ in flat], [good for _, good in flat]) if flat else None
    found["chains"], found["right"] = len(flat), sum(good for _, good in flat)
    free: dict[str, Callable[[Chain], float]] = {"logprob": _mean_logprob, "steps": _share_of_steps}
    found["free"] = {
        name: _ranked(_groups(problems, [[score(chain) for chain in chains] for chains in problems]))
        for name, score in free.items()
    }
    return found


def why_refused(report: dict[str, Any]) -> str | None:
    """Return why a ranker must not weight votes: it does not rank above chance; None if it does."""
    measured = report["pair_accuracy"]
    if measured["low"] is None:
        return "no two problems with a right and a wrong chain show whether it ranks above chance"
    if measured["low"] > 0.5:
        return None
    interval = f"{measured['low']:.0%} to {measured['high']:.0%}"
    return (
        f"it ranks {measured['value']:.0%} of {measured['pairs']} pairs rightly (95 % interval {interval}), "
        "which is not above chance"
    )


def _groups(problems: Sequence[Sequence[Chain]], scores: Sequence[Sequence[float]]) -> Groups:
    return [
        [(score, bool(chain.correct)) for chain, score in zip(chains, own, strict=True)]
        for chains, own in zip(problems, scores, strict=True)
    ]


def _ranked(groups: Groups) -> dict[str, Any]:
    return {"pair_accuracy": asdict(pair_accuracy(groups)), "auc": auc(groups)}


def _mean_logprob(chain: Chain) -> float:
    return -math.inf if chain.logprob is None else chain.logprob


def _share_of_steps(chain: Chain) -> float:
    share = check_steps(chain.text).share
    return 0.5 if share is None else share
