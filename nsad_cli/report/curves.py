"""Curves of a run's stages from its event log; what a resumed or repeated stage logged again replaces the earlier."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nsad_cli.report.numbers import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nsad_cli.runs.event_log import Event

Points = tuple[tuple[float, float], ...]
Spread = tuple[tuple[float, float, float, float], ...]
SINGLE = ("loss", "held_out_loss", "pair_accuracy")
"""Metrics that are one number."""
BETA_QUANTILES = ("q05", "q50", "q95")


@dataclass(frozen=True, slots=True)
class StageCurves:
    """The metrics of one stage by step; what the stage did not log is empty.

    Attributes:
        stage: The stage.
        loss: The training loss.
        held_out_loss: The loss on held-out problems, at each check.
        pair_accuracy: Of a ranker, the share of training pairs ranked rightly.
        alpha: Of NAT (step, lowest, mean, highest) of α's means over the layers.
        beta: Of NCE (step, 5 %, median, 95 %) of β's quantiles.
        negative_effect: Of NAT, KL(NAT ‖ NAT with h− = h+) in nats a token, at each check.
    """

    stage: str
    loss: Points = ()
    held_out_loss: Points = ()
    pair_accuracy: Points = ()
    alpha: Spread = ()
    beta: Spread = ()
    negative_effect: Points = ()


@dataclass(slots=True)
class _Metric:
    """One metric by step; an event of an earlier step drops the later steps."""

    values: dict[int, tuple[float, ...]] = field(default_factory=dict)
    last: int = -1

    def add(self, step: int, values: tuple[float, ...]) -> None:
        if step <= self.last:
            self.values = {old: value for old, value in self.values.items() if old < step}
        self.values[step], self.last = values, step

    def points(self) -> tuple[Any, ...]:
        return tuple((float(step), *values) for step, values in self.values.items())


def read_curves(events: Iterable[Event], order: Iterable[str]) -> tuple[StageCurves, ...]:
    """Collect the curves of the stages that logged a loss.

    Args:
        events: The event log.
        order: Names of stages in the order in which to return them; others follow in the order of their events.
    """
    found: dict[str, dict[str, _Metric]] = {}
    for event in events:
        if isinstance(event.metrics, dict) and isinstance(event.step, int) and number(event.step) is not None:
            for name, values in _numbers(event.metrics).items():
                found.setdefault(event.stage, {}).setdefault(name, _Metric()).add(event.step, values)
    names = [name for name in dict.fromkeys([*order, *found]) if name in found]
    curves = (StageCurves(name, **{key: item.points() for key, item in found[name].items()}) for name in names)
    return tuple(item for item in curves if item.loss)


def _numbers(metrics: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """Extract the numbers of one event; what is not finite or of another form is left out."""
    found: dict[str, tuple[float, ...]] = {
        name: (metrics[name],) for name in SINGLE if number(metrics.get(name)) is not None
    }
    alpha, beta, effect = (metrics.get(name) for name in ("alpha", "beta", "negative_effect"))
    if isinstance(alpha, dict) and (layers := [value for value in alpha.values() if number(value) is not None]):
        found["alpha"] = (min(layers), sum(layers) / len(layers), max(layers))
    if isinstance(beta, dict) and all(number(beta.get(name)) is not None for name in BETA_QUANTILES):
        found["beta"] = tuple(beta[name] for name in BETA_QUANTILES)
    if isinstance(effect, dict) and number(effect.get("kl")) is not None:
        found["negative_effect"] = (effect["kl"],)
    return found
