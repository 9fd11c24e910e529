"""The baselines: every method of the paper's table and REDI, with NAT's data, settings and budget.

ft           likelihood of the human solutions
cot-kd       likelihood of D+ (chain-of-thought distillation)
mix          likelihood of D+ and D− alike
critical-tokens  likelihood of D+ with a weight per token; see training/critical_tokens.py
wrong-first  likelihood of D+, starting from the negative adapter
right-first  likelihood of D+, starting from an adapter that was trained on D+: the control of wrong-first
labelled     likelihood of D+ and D−, after a question that asks for a correct or an incorrect solution
labelled-right  likelihood of D+ with the same question: the control of labelled
nt, ul, redi likelihood of D+, minus that of D− (see training/losses.py); redi starts from cot-kd, as its authors do
cl           likelihood of D+, and a margin over D− of the same problem
nat-control  NAT with a second positive adapter (`positive`) instead of the negative one: the effect of the unit alone
self-distillation  NCE with β = 1/2 for every example

Deviations from the paper: its CL trainer is not published, so ours adds a margin between length-normalised likelihoods
to the likelihood of D+; NT and UL weight tokens, not whole batches, so that the loss does not depend on how D− is
distributed over batches. In the paper NT, UL and CL see the human solution beside D+; here only with
training.baseline_human_solutions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor, nn

from nsad_cli.grading.extract import Marker, extract
from nsad_cli.models.packing import Example, Pack, group_by_tokens, hidden_states, pack
from nsad_cli.training.likelihood import CompletionObjective
from nsad_cli.training.likelihood import build as build_likelihood
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
    """NT, UL or REDI: raises the likelihood of right rationales and lowers that of wrong ones.

    Args:
        adapters: The student's adapters.
        name: The trained adapter.
        loss: A function of token losses [N] and a mask of tokens of wrong rationales [N]; it returns a loss per token.
        share: Whether sequences with the same prompt share it in a pack.
    """

    def __init__(self, adapters: Adapters, name: str, loss: TokenLoss, *, share: bool = False) -> None:
        super().__init__(adapters, name, share=share)
        self.token_loss = loss

    def measured(self, held_out: Sequence[Example]) -> list[Example]:
        """Select right rationales: the loss of wrong ones is unbounded and would choose the most broken weights."""
        return [example for example in held_out if not example.wrong]

    def loss(self, batch: Pack) -> BatchLoss:
        """Compute the summed loss of a pack."""
        with self.adapters.use(self.name):
            hidden = hidden_states(self.adapters.base, batch)
        (nll,) = self.token_losses(hidden, batch, lambda logits, part: [token_nll(logits, batch.targets[part])])
        return self.from_tokens(nll, batch.wrong, batch)

    def from_tokens(self, nll: Tensor, wrong: Tensor, batch: Pack) -> BatchLoss:
        """Compute the summed loss from token losses [N] and a mask of wrong sequences [S]."""
        return BatchLoss(self.token_loss(nll, wrong[batch.rows]).sum())


class LabelledObjective(CompletionObjective):
    """The likelihood of right and wrong rationales, whose questions say which of the two follows."""

    def measured(self, held_out: Sequence[Example]) -> list[Example]:
        """Select right rationales: the model is asked for those."""
        return [example for example in held_out if not example.wrong]


class RediObjective(BothSidesObjective):
    """REDI: a loss per sequence."""

    def items(self, examples: Sequence[Example]) -> int:
        """Count sequences."""
        return len(examples)

    def from_tokens(self, nll: Tensor, wrong: Tensor, batch: Pack) -> BatchLoss:
        """Compute the summed loss over sequences."""
        return BatchLoss(self.token_loss(mean_by_sequence(nll, batch.rows, len(wrong)), wrong).sum())


class ContrastiveObjective(Objective[Pair]):
    """CL: the likelihood of a right rationale, and its margin over a wrong one of the same problem."""

    def __init__(self, adapters: Adapters, name: str, *, share: bool) -> None:
        super().__init__()
        self.inner = CompletionObjective(adapters, name, share=share)

    def trained(self) -> dict[str, nn.Parameter]:
        """Return the adapter's parameters."""
        return self.inner.trained()

    def packs(self, examples: Sequence[Pair], budget: int) -> list[Pack]:
        """Pack pairs; the two rationales of a pair are adjacent."""
        runs = group_by_tokens(examples, budget)
        return [pack([side for pair in run for side in pair.sides()], share=self.inner.share) for run in runs]

    def items(self, examples: Sequence[Pair]) -> int:
        """Count pairs."""
        return len(examples)

    def loss(self, batch: Pack) -> BatchLoss:
        """Compute the summed loss of a pack."""
        inner = self.inner
        with inner.adapters.use(inner.name):
            hidden = hidden_states(inner.adapters.base, batch)
        (nll,) = inner.token_losses(hidden, batch, lambda logits, part: [token_nll(logits, batch.targets[part])])
        right, wrong = mean_by_sequence(nll, batch.rows, len(batch.examples)).view(-1, 2).unbind(1)
        return BatchLoss(contrastive_loss(right, wrong).sum())


def human_solutions(rationales: Sequence[Rationale]) -> list[Rationale]:
    """Return each problem's human solution once; the answer is appended if the solution does not state it."""
    found: dict[str, Rationale] = {}
    for item in rationales:
        problem = item.problem
        if problem.solution and problem.id not in found:
            stated = extract(problem.solution, problem.answer).marker not in (None, Marker.LAST_NUMBER)
            text = problem.solution if stated else f"{problem.solution}\nThe answer is {problem.answer}."
            found[problem.id] = Rationale(problem, text, Verdict.CORRECT, 0)
    return list(found.values())


def build_negative_training(session: Session, stage: Stage, settings: StageConfig) -> BothSidesObjective:
    """Build the objective of NT."""
    return BothSidesObjective(session.adapters, stage.name, negative_training_loss, share=settings.share_prompts)


def build_unlikelihood(session: Session, stage: Stage, settings: StageConfig) -> BothSidesObjective:
    """Build the objective of UL."""
    return BothSidesObjective(session.adapters, stage.name, unlikelihood_loss, share=settings.share_prompts)


def build_continued(session: Session, stage: Stage, settings: StageConfig) -> CompletionObjective:
    """Build the likelihood of D+, starting from the weights of the stage that it requires."""
    session.adapters.copy_weights(stage.requires[0], stage.name)
    return build_likelihood(session, stage, settings)


def build_labelled(session: Session, stage: Stage, settings: StageConfig) -> LabelledObjective:
    """Build the likelihood of D+ and D− with labelled questions."""
    return LabelledObjective(session.adapters, stage.name, share=settings.share_prompts)


def build_redi(session: Session, stage: Stage, settings: StageConfig) -> RediObjective:
    """Build the objective of REDI, starting from the weights of the stage that it requires."""
    session.adapters.copy_weights(stage.requires[0], stage.name)
    return RediObjective(session.adapters, stage.name, redi_loss, share=settings.share_prompts)


def build_contrastive(session: Session, stage: Stage, settings: StageConfig) -> ContrastiveObjective:
    """Build the objective of CL."""
    return ContrastiveObjective(session.adapters, stage.name, share=settings.share_prompts)
