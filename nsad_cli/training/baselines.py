"""The rivals: every method of the paper's table and a newer one, on NAT's data, settings and budget.

ft           likelihood of the human solutions
cot-kd       likelihood of D+ (chain-of-thought distillation)
mix          likelihood of D+ and D− alike
nt, ul, redi likelihood of D+, and less of D− (see training/losses.py); redi goes on from cot-kd, as its authors do
cl           D+ against D− of the same problem, by a margin
nat-control  NAT with a second positive adapter (`positive`) in the negative one's place: what the unit alone gives
self-distillation  NCE with β = 1/2 for every example

Deviations: CL's trainer was never published, ours is a margin between length-normalised likelihoods beside the
likelihood of D+; NT and UL weigh tokens, not whole batches, so that their loss does not depend on how D− falls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nsad_cli.grading.extract import Marker, extract
from nsad_cli.models.packing import Example, Pack, group_by_tokens, hidden_states, pack
from nsad_cli.training.likelihood import CompletionObjective
from nsad_cli.training.losses import (
    contrastive_loss,
    mean_by_sequence,
    negative_training_loss,
    redi_loss,
    token_nll,
    unlikelihood_loss,
)
from nsad_cli.training.ranker import Pair
from nsad_cli.training.trainer import BatchLoss, Objective
from nsad_cli.types import Rationale, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.config.schema import StageConfig
    from nsad_cli.config.stages import Stage
    from nsad_cli.inference.session import Session
    from nsad_cli.models.nat.adapters import Adapters

TokenLoss = Callable[[Tensor, Tensor], Tensor]


class BothSidesObjective(CompletionObjective):
    """NT, UL or REDI: the likelihood of right rationales, and against that of wrong ones.

    loss: from the token losses [N] and which tokens are of wrong rationales [N], the loss of each token.
    """

    def __init__(self, adapters: Adapters, name: str, loss: TokenLoss, *, share: bool = False) -> None:
        super().__init__(adapters, name, share=share)
        self.token_loss = loss

    def measured(self, held_out: Sequence[Example]) -> list[Example]:
        """Right rationales alone: a wrong one's likelihood can fall for ever, and the most broken weights would win."""
        return [example for example in held_out if not example.wrong]

    def loss(self, batch: Pack) -> BatchLoss:
        """The summed loss."""
        with self.adapters.use(self.name):
            hidden = hidden_states(self.adapters.base, batch)
        (nll,) = self.token_losses(hidden, batch, lambda logits, part: [token_nll(logits, batch.targets[part])])
        wrong = torch.tensor([example.wrong for example in batch.examples], device=nll.device)
        return self.from_tokens(nll, wrong, batch)

    def from_tokens(self, nll: Tensor, wrong: Tensor, batch: Pack) -> BatchLoss:
        """The summed loss from token losses [N] and which sequences are wrong [S]."""
        return BatchLoss(self.token_loss(nll, wrong[batch.rows]).sum())


class RediObjective(BothSidesObjective):
    """REDI: a loss of whole sequences."""

    def items(self, examples: Sequence[Example]) -> int:
        """Sequences."""
        return len(examples)

    def from_tokens(self, nll: Tensor, wrong: Tensor, batch: Pack) -> BatchLoss:
        """The summed loss of sequences."""
        return BatchLoss(self.token_loss(mean_by_sequence(nll, batch.rows, len(wrong)), wrong).sum())


class ContrastiveObjective(Objective[Pair]):
    """CL: the likelihood of a right rationale, and its margin over a wrong one of the same problem."""

    def __init__(self, adapters: Adapters, name: str, *, share: bool) -> None:
        super().__init__()
        self.inner = CompletionObjective(adapters, name, share=share)

    def trained(self) -> dict[str, nn.Parameter]:
        """The adapter's own parameters."""
        return self.inner.trained()

    def packs(self, examples: Sequence[Pair], budget: int) -> list[Pack]:
        """Packs in which a pair's two rationales follow each other."""
        runs = group_by_tokens(examples, budget)
        return [pack([side for pair in run for side in pair.sides()], share=self.inner.share) for run in runs]

    def items(self, examples: Sequence[Pair]) -> int:
        """Pairs."""
        return len(examples)

    def loss(self, batch: Pack) -> BatchLoss:
        """The summed loss."""
        inner = self.inner
        with inner.adapters.use(inner.name):
            hidden = hidden_states(inner.adapters.base, batch)
        (nll,) = inner.token_losses(hidden, batch, lambda logits, part: [token_nll(logits, batch.targets[part])])
        right, wrong = mean_by_sequence(nll, batch.rows, len(batch.examples)).view(-1, 2).unbind(1)
        return BatchLoss(contrastive_loss(right, wrong).sum())


def human_solutions(rationales: Sequence[Rationale]) -> list[Rationale]:
    """Each problem's human solution once, closed by its answer where it does not state it; others are left out."""
    found: dict[str, Rationale] = {}
    for item in rationales:
        problem = item.problem
        if problem.solution and problem.id not in found:
            stated = extract(problem.solution, problem.answer).marker not in (None, Marker.LAST_NUMBER)
            text = problem.solution if stated else f"{problem.solution}\nThe answer is {problem.answer}."
            found[problem.id] = Rationale(problem, text, Verdict.CORRECT, 0)
    return list(found.values())


def start_from(adapters: Adapters, name: str, other: str) -> None:
    """Give one LoRA the weights of another of its shape."""
    with torch.no_grad():
        source = dict(adapters.parameters_of(other))
        for key, parameter in adapters.parameters_of(name):
            parameter.copy_(source[key.replace(f".{name}.", f".{other}.")])


def build_negative_training(session: Session, stage: Stage, settings: StageConfig) -> BothSidesObjective:
    """NT."""
    return BothSidesObjective(session.adapters, stage.name, negative_training_loss, share=settings.share_prompts)


def build_unlikelihood(session: Session, stage: Stage, settings: StageConfig) -> BothSidesObjective:
    """UL."""
    return BothSidesObjective(session.adapters, stage.name, unlikelihood_loss, share=settings.share_prompts)


def build_redi(session: Session, stage: Stage, settings: StageConfig) -> RediObjective:
    """REDI, from the weights of the stage that it requires."""
    start_from(session.adapters, stage.name, stage.requires[0])
    return RediObjective(session.adapters, stage.name, redi_loss, share=settings.share_prompts)


def build_contrastive(session: Session, stage: Stage, settings: StageConfig) -> ContrastiveObjective:
    """CL."""
    return ContrastiveObjective(session.adapters, stage.name, share=settings.share_prompts)
