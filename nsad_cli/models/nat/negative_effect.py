"""What a NAT adapter's negative branch changes: the outputs with h− against those with h+ in its place.

With h− = h+ the unit's weights of the two branches sum to 1, so that the output is base + V(h+): a positive adapter
with an MLP and no negative knowledge. If the model hardly differs from that one, its gain over other models does not
come from negatives.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nsad_cli.models.nat.effect_size import describe_effect
from nsad_cli.models.packing import Pack, hidden_states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nsad_cli.models.nat.adapters import Adapters
    from nsad_cli.models.nat.layer import NatLinear

ROWS = 256
"""Tokens whose logits are in memory at once."""


@dataclass(frozen=True, slots=True)
class NegativeEffect:
    """The effect of the negative branch.

    Attributes:
        kl: KL(NAT ‖ NAT with h− = h+), the mean over completion tokens in nats.
        share: ‖out(h−) − out(h+)‖ / ‖out − base‖ of the NAT layers on the same inputs, 0 to about 2.
        tokens: The number of completion tokens.
    """

    kl: float
    share: float
    tokens: int

    def describe(self) -> str:
        """Describe the effect in a few words: KL 0.0003, 1 % of the unit's output: none."""
        return describe_effect(self.kl, self.share)


@torch.no_grad()
def negative_effect(
    adapters: Adapters, name: str, head: Callable[[Tensor], Tensor], packs: Sequence[Pack]
) -> NegativeEffect | None:
    """Measure the effect of a NAT adapter's negative branch on packed examples.

    Args:
        adapters: The adapters, in evaluation mode.
        name: The adapter.
        head: Maps hidden states [N,d] to logits [N,V].
        packs: The examples, on the model's device.

    Returns:
        The effect; None for an adapter without a negative branch, or without completion tokens.
    """
    layers = [layer for _, layer in adapters.layers if name in layer.nat_negative]
    tokens = sum(len(batch.targets) for batch in packs)
    if not layers or not tokens:
        return None
    kl = 0.0
    norms = torch.zeros(2, dtype=torch.float64)
    for batch in packs:
        with _measured(layers, name, norms), adapters.use(name):
            with_negative = hidden_states(adapters.base, batch)[batch.before]
        with _replaced(layers, name), adapters.use(name):
            without = hidden_states(adapters.base, batch)[batch.before]
        for start in range(0, len(with_negative), ROWS):
            part = slice(start, start + ROWS)
            p, q = (F.log_softmax(head(hidden[part]).float(), -1) for hidden in (with_negative, without))
            kl += (p.exp() * (p - q)).sum(dtype=torch.float64).item()
    apart, whole = norms.sqrt().tolist()
    return NegativeEffect(max(kl, 0.0) / tokens, apart / whole if whole else 0.0, tokens)


@contextlib.contextmanager
def _replaced(layers: Sequence[NatLinear], name: str) -> Iterator[None]:
    """Let the adapter's own positive LoRA take the place of its negative one."""
    before = [layer.nat_negative[name] for layer in layers]
    try:
        for layer in layers:
            layer.forget_frozen(name)
            layer.nat_negative[name] = name
        yield
    finally:
        for layer, negative in zip(layers, before, strict=True):
            layer.nat_negative[name] = negative
            layer.forget_frozen(name)


@contextlib.contextmanager
def _measured(layers: Sequence[NatLinear], name: str, norms: Tensor) -> Iterator[None]:
    """Add to `norms` the squares of out(h−) − out(h+) and of out − base, of every call of the layers."""

    def compare(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x = inputs[0]
        with _replaced([layer], name):
            without = layer.forward(x)
        norms[0] += (output - without).double().square().sum().cpu()
        norms[1] += (output - layer.get_base_layer()(x)).double().square().sum().cpu()

    handles = [layer.register_forward_hook(compare) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
