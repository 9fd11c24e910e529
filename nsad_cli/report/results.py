"""Rows of evaluations and of the ranker's measurement as dataclasses; malformed rows are left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.report.numbers import interval, number

if TYPE_CHECKING:
    from collections.abc import Mapping

FREE_NAMES = {"logprob": "log-prob. (free)", "steps": "step checks (free)"}


@dataclass(frozen=True, slots=True)
class Result:
    """An accuracy: of a model on a benchmark by a rule (`greedy` for greedy answers), with its 95 % interval."""

    benchmark: str
    model: str
    rule: str
    n: int
    samples: int
    accuracy: float
    ci95: tuple[float, float] | None
    truncated: float | None
    tokens: float | None
    refused: str | None


@dataclass(frozen=True, slots=True)
class Scorer:
    """How well scores rank a problem's right chains above its wrong ones: pair accuracy with interval, and AUC."""

    name: str
    value: float
    low: float | None
    high: float | None
    pairs: int | None
    auc: float | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """The measurement of a ranker.

    Attributes:
        kind: The kind of ranker.
        scorers: The ranker, then scores that need no training.
        ece: The expected calibration error of its probabilities.
        weighting: How probabilities become weights, in words.
        refused: Why it must not weight votes; None if it may.
        unseen: Whether the problems were kept from the student's training; None if that is not recorded.
    """

    kind: str
    scorers: tuple[Scorer, ...]
    ece: float | None
    weighting: str | None
    refused: str | None
    unseen: bool | None


@dataclass(frozen=True, slots=True)
class NegativeEffect:
    """The effect of NAT's negative branch on greedy chains of a benchmark; see models/nat/negative_effect.py."""

    benchmark: str
    model: str
    n: int
    kl: float
    share: float | None
    summary: str


def results_of(stage: Mapping[str, Any]) -> tuple[Result, ...]:
    """Read the rows `results` of an evaluation."""
    found = []
    for row in _rows(stage.get("results")):
        accuracy, n = number(row.get("accuracy")), number(row.get("n"))
        if accuracy is None or n is None:
            continue
        refused = row.get("ranker_refused")
        found.append(
            Result(
                str(row.get("benchmark", "")),
                str(row.get("model", "")),
                str(row.get("rule") or "greedy"),
                int(n),
                int(number(row.get("samples")) or 0),
                accuracy,
                interval(row.get("ci95")),
                number(row.get("truncated")),
                number(row.get("tokens")),
                refused if isinstance(refused, str) else None,
            )
        )
    return tuple(found)


def negatives_of(stage: Mapping[str, Any]) -> tuple[NegativeEffect, ...]:
    """Read the rows `negatives` of an evaluation."""
    return tuple(
        NegativeEffect(
            str(row.get("benchmark", "")),
            str(row.get("model", "")),
            int(number(row.get("n")) or 0),
            kl,
            number(row.get("share")),
            str(row.get("summary", "")),
        )
        for row in _rows(stage.get("negatives"))
        if (kl := number(row.get("kl"))) is not None
    )


def ranking_of(stage: Mapping[str, Any]) -> Ranking | None:
    """Read how well a ranker ranks: `ranking`, or the `calibration` of rankers without problems of their own."""
    kind = str(stage.get("kind", "ranker"))
    ranking, calibration = stage.get("ranking"), stage.get("calibration")
    if isinstance(ranking, dict) and isinstance(measured := ranking.get("measured"), dict):
        free = measured.get("free")
        items: list[tuple[str, Any]] = [(f"ranker ({kind})", measured)]
        items += (
            [(FREE_NAMES.get(str(name), str(name)), item) for name, item in free.items()]
            if isinstance(free, dict)
            else []
        )
        scorers = tuple(found for name, item in items if (found := _scorer(name, item)) is not None)
        unseen = ranking.get("unseen_problems")
        return Ranking(
            kind,
            scorers,
            number(measured.get("ece")),
            _weighting(ranking.get("weighting")),
            _text(ranking.get("refused")),
            unseen if isinstance(unseen, bool) else None,
        )
    if not isinstance(calibration, dict):
        return None
    value, pairs = number(calibration.get("ranking_accuracy")), number(calibration.get("pairs"))
    low, high = interval(calibration.get("ranking_ci95")) or (None, None)
    count = None if pairs is None else int(pairs)
    own = Scorer(f"ranker ({kind})", value or 0.0, low, high, count, number(calibration.get("auc")))
    ece = number(calibration.get("ece_after"))
    ece = number(calibration.get("ece_before")) if ece is None else ece
    return Ranking(kind, () if value is None else (own,), ece, None, _text(calibration.get("refused")), None)


def _scorer(name: str, item: Any) -> Scorer | None:
    pairs = item.get("pair_accuracy") if isinstance(item, dict) else None
    if not isinstance(pairs, dict) or (value := number(pairs.get("value"))) is None:
        return None
    count = number(pairs.get("pairs"))
    return Scorer(
        name,
        value,
        number(pairs.get("low")),
        number(pairs.get("high")),
        None if count is None else int(count),
        number(item.get("auc")),
    )


def _weighting(value: Any) -> str | None:
    if not isinstance(value, dict) or (exponent := number(value.get("exponent"))) is None:
        return None
    if exponent == 0:
        return "exponent 0, the best on these chains: every chain counts alike, as by sc"
    return f"{'odds' if value.get('form') == 'odds' else 'score'} to the power of {exponent:g}"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _rows(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
