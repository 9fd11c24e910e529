"""The forms of the integration unit: the paper's, and the ablations of its gate and of V."""

from __future__ import annotations

from typing import Literal, NamedTuple

Value = Literal["mlp", "identity", "delta"]
"""V: the paper's MLP on h±, the identity, or the MLP on the normalised outputs of the adapters alone."""
Gate = Literal["learned", "fixed", "positive", "subtract"]
"""The range of the gate a; see GATES."""


class GateRange(NamedTuple):
    """A gate a = scale · σ(score) + offset."""

    scale: float
    offset: float


LEARNED = GateRange(1.0, -0.5)
"""The paper's gate, in (−1/2, 1/2)."""
GATES: dict[str, GateRange] = {
    "learned": LEARNED,
    "fixed": GateRange(0.0, 0.5),
    "positive": GateRange(0.5, 0.0),
    "subtract": GateRange(-0.5, 0.0),
}
"""fixed: a = 1/2 for every token, the mean of both branches. positive: a in (0, 1/2), so that the negative branch is
only added. subtract: a in (−1/2, 0), so that it is only subtracted."""
DELTA_EPSILON = 1e-6
"""Added to the mean square of an adapter's output before it is normalised."""


class UnitForm(NamedTuple):
    """The form of one adapter's unit."""

    value: Value = "mlp"
    gate: Gate = "learned"

    @property
    def range(self) -> GateRange:
        """The range of its gate."""
        return GATES[self.gate]


PAPER = UnitForm()
"""The paper's form of the unit."""
