"""NAT as a server computes it: frozen weights, so that a single matrix is applied to x.

With the names of `layer`, and W's bias b: A+, A−, E, C1·W and P± = s·C1·B± are computed once, at export. When they are
loaded, u± = C1·h± becomes one product with x: U± = C1·W + P±·A±. A server appends A+, A−, E and U± to W, so that one
product gives base, z+, z−, Ex and u±. Then only the gate, the GELU and one product with `up` are left: C2, or s·B± if
there is no V, or s·B+ for a layer without a unit. A processor with many rows at once has less work if C1·W is appended
instead, half the rows of U±, and u± = C1·Wx + P±·z± is one more operation.

This module imports only torch, since the plugin for vLLM loads it into every process of vLLM.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nsad_cli.models.nat.forms import LEARNED, PAPER, GateRange, UnitForm
from nsad_cli.models.nat.unit import gate, mix_hidden, normalised, weigh_projections

METHOD = "nsad"
"""The name of the quantization method in an exported folder's config.json."""
VERSION = 1
"""The version of the tensors below; a server refuses any other."""
PREFIX = "nsad_"
"""The prefix of each tensor's name, after the path of its layer."""
BELOW = ("a_pos", "a_neg", "e", "c1w")
"""A+ [r+, d_in], A− [r−, d_in], E [r+ + r−, d_in] and C1·W [size, d_in], from which the rows below W are made."""
REST = ("c1b", "mix", "up", "check", "gram", "gate")
"""C1·b [size]; P+ and P− [size, r+ + r−]; the output matrix [d_out, …]; W times `probe`, [d_out]. Only of other
forms than the paper's: (s·B)ᵀ(s·B) / d_out, [r+ + r−, r+ + r−], for `delta`; the scale and offset of the gate, [2]."""


def served_tensors(
    matrices: dict[str, Tensor],
    s_pos: float,
    s_neg: float,
    weight: Tensor,
    bias: Tensor | None,
    form: UnitForm = PAPER,
) -> dict[str, Tensor]:
    """Compute one layer's tensors in float64 (float32 on Apple's MPS), and convert them to the dtype of its weight.

    Args:
        matrices: See `unit_matrices`; only a_pos and b_pos for a layer with a LoRA and no unit.
        s_pos: alpha / r of the positive adapter.
        s_neg: alpha / r of the negative adapter.
        weight: The layer's weight W, [d_out, d_in].
        bias: The layer's bias, [d_out].
        form: The form of the unit.
    """
    wide = torch.float32 if weight.device.type == "mps" else torch.float64
    m = {name: value.detach().to(wide) for name, value in matrices.items()}
    w, b_pos = weight.detach().to(wide), s_pos * m["b_pos"]
    found = {"a_pos": m["a_pos"], "check": w @ probe(w)}
    if "q" not in m:
        found["up"] = b_pos
    else:
        b = torch.cat([b_pos, s_neg * m["b_neg"]], 1)
        k_pos, k_neg = (m["k"] @ b).split([b_pos.shape[1], m["b_neg"].shape[1]], 1)
        found |= {"a_neg": m["a_neg"], "e": torch.cat([-k_pos, k_neg], 1).T @ m["q"], "up": b}
        if form.range != LEARNED:
            found["gate"] = torch.tensor(form.range, dtype=wide, device=w.device)
        if form.value == "delta":
            found |= {"mix": m["c1"] @ b, "up": m["c2"], "gram": b.T @ b / len(b)}
        elif form.value == "mlp":
            found |= {"c1w": m["c1"] @ w, "mix": m["c1"] @ b, "up": m["c2"]}
            if bias is not None:
                found["c1b"] = m["c1"] @ bias.detach().to(wide)
    return {name: value.to(tensor_dtype(name, weight.dtype)).contiguous() for name, value in found.items()}


def tensor_dtype(name: str, dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of a tensor of a layer in `dtype`: the Gram matrix, whose terms cancel, is at least float32."""
    return torch.promote_types(dtype, torch.float32) if name == "gram" else dtype


def probe(weight: Tensor) -> Tensor:
    """Return a fixed vector [d_in]: W times this vector shows whether a server's W is the expected one."""
    return torch.linspace(-1, 1, weight.shape[1], dtype=weight.dtype, device=weight.device)


class ServedUnit(nn.Module):
    """One layer's adapter, frozen.

    Args:
        tensors: See `served_tensors`.
        fused: Whether U± are appended to W; otherwise C1·W, if both adapters have the same rank.
    """

    up: Tensor
    mix: Tensor | None
    gram: Tensor | None

    def __init__(self, tensors: dict[str, Tensor], *, fused: bool = True) -> None:
        super().__init__()
        downs = [tensors[name] for name in ("a_pos", "a_neg") if name in tensors]
        below = [*downs, *([tensors["e"]] if "e" in tensors else [])]
        self.ranks = [len(down) for down in downs]
        self.gated = "e" in tensors
        self.form = GateRange(*tensors["gate"].tolist()) if "gate" in tensors else LEARNED
        mix = tensors["mix"] if "gram" in tensors else None
        if "c1w" in tensors and not fused and len({*self.ranks}) == 1:
            mix = torch.stack(tensors["mix"].T.split(self.ranks))
            below += [tensors["c1w"]]
        elif "c1w" in tensors:
            wide = torch.promote_types(downs[0].dtype, torch.float32)
            parts = zip(tensors["mix"].to(wide).split(self.ranks, 1), downs, strict=True)
            below += [(tensors["c1w"].to(wide) + p @ down.to(wide)).to(down.dtype) for p, down in parts]
        self.widths = [sum(self.ranks), *([len(tensors["e"])] if self.gated else [])]
        if "c1w" in tensors:
            self.widths.append(len(tensors["c1w"]) * (1 if mix is not None else 2))
        self.below: Tensor | None = torch.cat(below)
        """[sum of widths, d_in]: the rows to append to W, until `take_below`."""
        self.bias: Tensor | None = torch.zeros(sum(self.widths), dtype=downs[0].dtype, device=downs[0].device)
        """[sum of widths]: the values to append to W's bias, if it has one, until `take_below`."""
        if "c1b" in tensors:
            self.bias[-self.widths[-1] :] = tensors["c1b"].repeat(1 if mix is not None else 2)
        self.register_buffer("up", tensors["up"], persistent=False)
        # P+ and P−: [2, r, size], or [size, r+ + r−] beside a Gram matrix
        self.register_buffer("mix", mix, persistent=False)
        self.register_buffer("gram", tensors.get("gram"), persistent=False)

    def take_below(self) -> tuple[Tensor, Tensor]:
        """Return `below` and `bias`, and drop them: the layer holds them from now on."""
        assert self.below is not None
        assert self.bias is not None
        taken = self.below, self.bias
        self.below = self.bias = None
        return taken

    def forward(self, base: Tensor, low: Tensor) -> Tensor:
        """Compute the adapted output from base [N, d_out] and low [N, sum of widths], the product of `below` with x."""
        if not self.gated:
            return torch.addmm(base, low, self.up.T)
        z, e, *u = low.split(self.widths, -1)
        a = gate(z, e, self.form).to(z.dtype)
        if self.gram is not None:
            return torch.addmm(base, self._mixed_deltas(z, a, self.gram), self.up.T)
        if u:
            v_pos, v_neg = F.gelu(u[0]).chunk(2, -1) if self.mix is None else F.gelu(self._mixed(z, u[0], self.mix))
            return torch.addmm(base, torch.lerp(v_pos, v_neg, a), self.up.T)
        return torch.addmm(base, weigh_projections(z.split(self.ranks, -1), a), self.up.T)

    def _mixed_deltas(self, z: Tensor, a: Tensor, gram: Tensor) -> Tensor:
        """Compute V's mixed hidden layer [N, size] from z [N, r+ + r−] and the gate a [N, 1], for `delta`."""
        assert self.mix is not None
        r = self.ranks[0]
        u_pos = normalised(z[:, :r], gram[:r, :r]) @ self.mix[:, :r].T
        u_neg = normalised(z[:, r:], gram[r:, r:]) @ self.mix[:, r:].T
        return mix_hidden(u_pos, u_neg, a)

    def _mixed(self, z: Tensor, shared: Tensor, mix: Tensor) -> Tensor:
        """Compute u+ and u− [2, N, size] from z [N, 2r] and C1·Wx [N, size]."""
        parts = z.reshape(len(z), 2, -1).transpose(0, 1)
        return torch.baddbmm(shared.expand(2, *shared.shape), parts, mix)
