"""Settings of adapters, and NAT's config as PEFT stores it in adapter_config.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peft import LoraConfig

if TYPE_CHECKING:
    from nsad_cli.models.nat.forms import Gate, Value


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """The shape of every adapter of a run; `unit_*` apply to NAT only."""

    targets: tuple[str, ...] | str = ("q_proj", "v_proj")
    """Names of linear layers, or `all-linear` for all except the output head."""
    r: int = 8
    alpha: float = 16
    dropout: float = 0.05
    unit_size: int = 128
    unit_value: Value = "mlp"
    unit_gate: Gate = "learned"
    unit_targets: tuple[str, ...] | None = None
    """The targets with an integration unit; the others get only the positive LoRA. None: all targets."""


@dataclass
class NatConfig(LoraConfig):
    """A LoRA (the positive adapter) with an integration unit that combines it with a negative LoRA on the same base."""

    nsad_kind: str = field(default="nat", metadata={"help": "Marks the folder as a NAT adapter's."})
    unit_size: int = field(default=128, metadata={"help": "Width of Q, K and V's hidden layer."})
    unit_value: Value = field(default="mlp", metadata={"help": "V: `mlp`, `identity` or `delta`; see nat/forms.py."})
    unit_gate: Gate = field(default="learned", metadata={"help": "The gate: learned, fixed, positive or subtract."})
    unit_targets: list[str] | None = field(default=None, metadata={"help": "Targets with a unit; None: all."})
    negative: str = field(default="negative", metadata={"help": "Name of the negative adapter in the model."})
    negative_hash: str = field(default="", metadata={"help": "SHA-256 of the negative adapter's weights, 16 digits."})
