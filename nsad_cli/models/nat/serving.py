"""NAT as a server computes it: frozen, so that all that meets x is one matrix below the base's own.

With the names of nat/layer.py, and W's bias b: A+, A−, E and C1·W are multiplied once, at export. A server appends them
to W, and one product gives base, z+, z−, Ex and C1·base. What is left to add to base are the unit's few lines and one
product with `up`: C2, or s·B± where there is no V, or s·B+ where a projection has no unit.
No more than torch is imported here, since the plugin for vLLM loads this module into every process of vLLM.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nsad_cli.models.nat.unit import chosen, gate, hidden, mixed

METHOD = "nsad"
"""The name of the quantization method in an exported folder's config.json."""
VERSION = 1
"""Of the tensors below: a server refuses another one."""
PREFIX = "nsad_"
"""Before the name of each tensor, after the path of its projection."""
BELOW = ("a_pos", "a_neg", "e", "c1w")
"""What is appended to W, in this order: [r+, d_in], [r−, d_in], [r+ + r−, d_in], [size, d_in]."""
REST = ("c1b", "mix", "up", "check")
"""C1·b [size]; [P+, P−] [size, r+ + r−]; what leads back [d_out, …]; W times `probe`, [d_out]."""


def served_tensors(
    matrices: dict[str, Tensor], s_pos: float, s_neg: float, weight: Tensor, bias: Tensor | None
) -> dict[str, Tensor]:
    """One projection's tensors for a server, in the dtype of its weight; worked out in float64.

    matrices: as nat/layer.py's `unit_matrices`; a_pos and b_pos alone for a projection that has a LoRA and no unit.
    """
    m = {name: value.detach().double() for name, value in matrices.items()}
    w, b_pos = weight.detach().double(), s_pos * m["b_pos"]
    found = {"a_pos": m["a_pos"], "check": w @ probe(w)}
    if "q" not in m:
        found["up"] = b_pos
    else:
        b = torch.cat([b_pos, s_neg * m["b_neg"]], 1)
        k_pos, k_neg = (m["k"] @ b).split([b_pos.shape[1], m["b_neg"].shape[1]], 1)
        found |= {"a_neg": m["a_neg"], "e": torch.cat([-k_pos, k_neg], 1).T @ m["q"], "up": b}
        if "c1" in m:
            found |= {"c1w": m["c1"] @ w, "mix": m["c1"] @ b, "up": m["c2"]}
            if bias is not None:
                found["c1b"] = m["c1"] @ bias.detach().double()
    return {name: value.to(weight.dtype).contiguous() for name, value in found.items()}


def probe(weight: Tensor) -> Tensor:
    """A fixed vector as wide as W's input: W times it tells whether a server's W is the one that we know."""
    return torch.linspace(-1, 1, weight.shape[1], dtype=weight.dtype, device=weight.device)


class ServedUnit(nn.Module):
    """One projection's adapter, frozen."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        below = [tensors[name] for name in BELOW if name in tensors]
        self.ranks = [len(tensors[name]) for name in ("a_pos", "a_neg") if name in tensors]
        self.widths = [sum(self.ranks), *(len(tensors[name]) for name in BELOW[2:] if name in tensors)]
        self.gated = "e" in tensors
        self.below: Tensor | None = torch.cat(below)
        """[sum of widths, d_in]: what goes below W; whoever has put it there sets it to None."""
        self.bias: Tensor | None = torch.zeros(sum(self.widths), dtype=below[0].dtype, device=below[0].device)
        """[sum of widths]: what goes below W's bias, where it has one; None as `below`."""
        if "c1b" in tensors:
            self.bias[-len(tensors["c1b"]) :] = tensors["c1b"]
        self.register_buffer("up", tensors["up"], persistent=False)
        if "mix" in tensors:
            for name, part in zip(("p_pos", "p_neg"), tensors["mix"].split(self.ranks, 1), strict=True):
                self.register_buffer(name, part.contiguous(), persistent=False)

    def forward(self, base: Tensor, low: Tensor) -> Tensor:
        """The adapted output: base [N, d_out] and low [N, sum of widths], what `below` and its bias made of x."""
        if not self.gated:
            return torch.addmm(base, low, self.up.T)
        z, e, *shared = low.split(self.widths, -1)
        a, parts = gate(z, e).to(z.dtype), z.split(self.ranks, -1)
        if shared:
            u_pos, u_neg = hidden(shared[0], parts, self.p_pos, self.p_neg)
            return torch.addmm(base, mixed(u_pos, u_neg, a), self.up.T)
        return torch.addmm(base, chosen(parts, a), self.up.T)
