"""NCE: a fresh LoRA student learns from correct rationales, with NAT as a calibrated teacher.

Student, NAT and negative adapter share one copy of the base. The two teachers run without dropout, so an example's KL,
and therefore its β, is constant: a single process caches it in the first epoch, which saves later passes of the
negative adapter; several processes compute it again.
Deviation from the reference code: loss and β on completion tokens only.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nsad_cli.config.stages import NAT, NCE, NEGATIVE, stages
from nsad_cli.models.host_copies import to_device
from nsad_cli.models.packing import Example, Pack, hidden_states
from nsad_cli.training.likelihood import CompletionObjective
from nsad_cli.training.losses import calibration, nce_loss, nce_row_losses, token_nll
from nsad_cli.training.trainer import BatchLoss
from nsad_cli.utils.distributed import world_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.config.schema import StageConfig
    from nsad_cli.config.stages import Stage
    from nsad_cli.inference.session import Session
    from nsad_cli.models.nat.adapters import Adapters

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class NceObjective(CompletionObjective):
    """(1−λ)·CE + λ·(1/2 + β)·H(p_NAT, p_student), summed over completion tokens.

    `beta` is `sequence` or `token` (see losses.calibration), or `fixed` for β = 1/2.
    """

    def __init__(
        self,
        adapters: Adapters,
        *,
        lam: float,
        beta: str,
        name: str = NCE.name,
        teacher: str = NAT.name,
        negative: str = NEGATIVE.name,
        share: bool = False,
    ) -> None:
        super().__init__(adapters, name, share=share)
        self.lam, self.beta, self.teacher, self.negative = lam, beta, teacher, negative
        self._numbers: dict[int, int] = {}
        self._kl: dict[int, Tensor] = {}

    def prepare(self, train_set: Sequence[Example], epochs: float) -> None:
        """Enable the cache of KL values if a single process trains for more than one epoch."""
        use_cache = epochs > 1 and world_size() == 1
        self._numbers = {id(example): i for i, example in enumerate(train_set)} if use_cache else {}

    def state(self) -> dict[str, Tensor]:
        """Return the cached KL values; a resumed run would compute them in other packs, with other rounding."""
        return {f"kl.{number}": value for number, value in self._kl.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore the cached KL values."""
        self._kl = {int(key.removeprefix("kl.")): value for key, value in state.items() if key.startswith("kl.")}

    def loss(self, batch: Pack) -> BatchLoss:
        """Compute the summed loss of a pack, with the means of its terms and quantiles of β as metrics."""
        with self.adapters.use(self.name):
            student = hidden_states(self.adapters.base, batch)
        if self.lam == 0:
            (nll,) = self.token_losses(student, batch, lambda logits, part: [token_nll(logits, batch.targets[part])])
            return BatchLoss(nll.sum(), {})
        nat = self.frozen_states(self.teacher, batch)
        beta = self._known_beta(batch, torch.promote_types(nat.dtype, torch.float32))
        negative = self.frozen_states(self.negative, batch) if beta is None else None

        def losses(logits: Tensor, part: slice) -> list[Tensor]:
            with torch.no_grad():
                teachers = self.head(nat[part]), self.head(negative[part]) if negative is not None else None
            nll, distillation, kl = nce_row_losses(logits, batch.targets[part], *teachers)
            if beta is None:
                assert kl is not None  # the negative pass was run
                return [nll, distillation, kl]
            return [nce_loss(nll, distillation, beta[part], self.lam), nll.detach(), distillation.detach()]

        if beta is None:
            nll, distillation, kl = self.token_losses(student, batch, losses)
            self._cache_kl(batch, kl)
            beta = calibration(kl, batch.rows, self.beta)
            total = nce_loss(nll, distillation, beta, self.lam)
        else:  # one backward pass through the head instead of two
            total, nll, distillation = self.token_losses(student, batch, losses)
        metrics = {
            "cross_entropy": nll.detach().mean().item(),
            "distillation": distillation.detach().mean().item(),
            "beta": _quantiles(beta),
        }
        return BatchLoss(total.sum(), metrics)

    def _known_beta(self, batch: Pack, wide: torch.dtype) -> Tensor | None:
        """Return β of the pack's tokens [N] if it is fixed or cached, else None."""
        if self.beta == "fixed":
            return torch.full(batch.targets.shape, 0.5, dtype=wide, device=batch.targets.device)
        kl = self._cached_kl(batch)
        return None if kl is None else calibration(kl, batch.rows, self.beta)

    def _cached_kl(self, batch: Pack) -> Tensor | None:
        found = [self._kl.get(self._numbers.get(id(example), -1)) for example in batch.examples]
        parts = [value for value in found if value is not None]
        return to_device(torch.cat(parts), batch.targets.device) if len(parts) == len(found) else None

    def _cache_kl(self, batch: Pack, kl: Tensor) -> None:
        if not self.training:
            return
        for example, value in zip(batch.examples, kl.split([len(e.completion) for e in batch.examples]), strict=True):
            number = self._numbers.get(id(example))
            if number is not None and number not in self._kl:
                self._kl[number] = value.cpu().clone()


@functools.cache
def _levels(device: torch.device) -> Tensor:
    """Return the levels of the quantiles on a device, copied there once."""
    return torch.tensor(QUANTILES, device=device)


def _quantiles(beta: Tensor) -> dict[str, float]:
    values = torch.quantile(beta.float(), _levels(beta.device)).tolist()
    return {f"q{int(100 * q):02d}": round(value, 4) for q, value in zip(QUANTILES, values, strict=True)}


def build(session: Session, stage: Stage, settings: StageConfig) -> NceObjective:
    """Build the objective of NCE with the recipe's λ and β."""
    nce = session.recipe.training.nce
    return _objective(session, stage, settings, nce.beta)


def build_fixed_beta(session: Session, stage: Stage, settings: StageConfig) -> NceObjective:
    """Build the objective of self-distillation: NCE with β = 1/2 for every example."""
    return _objective(session, stage, settings, "fixed")


def _objective(session: Session, stage: Stage, settings: StageConfig, beta: str) -> NceObjective:
    teacher = stages()[stage.requires[0]]
    assert teacher.companion is not None
    return NceObjective(
        session.adapters,
        lam=session.recipe.training.nce.lam,
        beta=beta,
        name=stage.name,
        teacher=teacher.name,
        negative=teacher.companion,
        share=settings.share_prompts,
    )
