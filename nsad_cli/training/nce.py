"""NCE: a fresh LoRA student learns from correct rationales, with NAT as a calibrated teacher.

Student, NAT and negative adapter take turns on one copy of the base; the two teachers run without dropout, so that an
example's KL, and with it its β, never changes: it is kept after the first epoch, which saves the negative pass.
Deviation from the reference code: loss and β on completion tokens alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nsad_cli.losses import calibration, nce_loss, token_cross_entropy, token_kl, token_nll
from nsad_cli.nat.adapters import Adapters
from nsad_cli.packing import Example, Pack, hidden_states
from nsad_cli.processes import count
from nsad_cli.training.completion import CompletionObjective
from nsad_cli.training.trainer import BatchLoss

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class NceObjective(CompletionObjective):
    """(1−λ)·CE + λ·(1/2 + β)·H(p_NAT, p_student), summed over completion tokens; β `fixed` is 1/2 for all."""

    def __init__(
        self, adapters: Adapters, *, lam: float, beta: str, name: str = "nce", teacher: str = "nat", share: bool = False
    ) -> None:
        super().__init__(adapters, name, share=share)
        self.lam, self.beta, self.teacher = lam, beta, teacher
        self._numbers: dict[int, int] = {}
        self._kl: dict[int, Tensor] = {}

    def prepare(self, train_set: Sequence[Example], epochs: float) -> None:
        """Keep the training examples' KL where one process sees them more than once."""
        again = epochs > 1 and count() == 1
        self._numbers = {id(example): i for i, example in enumerate(train_set)} if again else {}

    def state(self) -> dict[str, Tensor]:
        """The KL of the examples seen so far: a resumed run must not compute it in other packs, with other rounding."""
        return {f"kl.{number}": value for number, value in self._kl.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """See `state`."""
        self._kl = {int(key.removeprefix("kl.")): value for key, value in state.items() if key.startswith("kl.")}

    def loss(self, batch: Pack) -> BatchLoss:
        """The summed loss, with its parts' means and the quantiles of β."""
        with self.adapters.use(self.name):
            student = hidden_states(self.adapters.base, batch)
        if self.lam == 0:
            (nll,) = self.token_losses(student, batch, lambda logits, part: [token_nll(logits, batch.targets[part])])
            return BatchLoss(nll.sum(), {})
        kept = self._kept(batch)
        nat = self._teacher(self.teacher, batch)
        negative = self._teacher("negative", batch) if kept is None and self.beta != "fixed" else None

        def losses(logits: Tensor, part: slice) -> list[Tensor]:
            with torch.no_grad():
                teacher = self.head(nat[part])
                kl = [token_kl(self.head(negative[part]), teacher)] if negative is not None else []
            return [token_nll(logits, batch.targets[part]), token_cross_entropy(teacher, logits), *kl]

        nll, distillation, *kl = self.token_losses(student, batch, losses)
        if self.beta == "fixed":
            beta = torch.full_like(nll, 0.5)
        else:
            values = kept if kept is not None else kl[0].detach()
            self._keep(batch, values)
            beta = calibration(values, batch.rows, self.beta)
        metrics = {
            "cross_entropy": nll.detach().mean().item(),
            "distillation": distillation.detach().mean().item(),
            "beta": _quantiles(beta),
        }
        return BatchLoss(nce_loss(nll, distillation, beta, self.lam).sum(), metrics)

    @torch.no_grad()
    def _teacher(self, name: str, batch: Pack) -> Tensor:
        """A teacher's hidden states where completions are predicted [N,d]."""
        was_training = self.model.training
        self.model.eval()
        with self.adapters.use(name):
            hidden = hidden_states(self.adapters.base, batch)
        self.model.train(was_training)
        return hidden[batch.before]

    def _kept(self, batch: Pack) -> Tensor | None:
        found = [self._kl.get(self._numbers.get(id(example), -1)) for example in batch.examples]
        parts = [value for value in found if value is not None]
        return torch.cat(parts).to(batch.targets.device) if len(parts) == len(found) else None

    def _keep(self, batch: Pack, kl: Tensor) -> None:
        if not self.training:
            return
        for example, value in zip(batch.examples, kl.split([len(e.completion) for e in batch.examples]), strict=True):
            number = self._numbers.get(id(example))
            if number is not None and number not in self._kl:
                self._kl[number] = value.cpu().clone()


def _quantiles(beta: Tensor) -> dict[str, float]:
    values = torch.quantile(beta.float(), torch.tensor(QUANTILES, device=beta.device)).tolist()
    return {f"q{int(100 * q):02d}": round(value, 4) for q, value in zip(QUANTILES, values, strict=True)}
