"""Fit the probe to the optimum of its loss over all pairs, with a penalty chosen by cross-validation.

A linear head on fixed features has few parameters and a smooth loss, so L-BFGS finds its optimum in a second where
steps by a learning rate would stop somewhere on the way. The features are computed once, by one pass a chain.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nsad_cli.models.packing import group_by_tokens
from nsad_cli.training.ranker import Pair, pair_losses
from nsad_cli.training.trainer import TrainResult
from nsad_cli.utils.distributed import world_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.rankers.linear_probe import ProbeScorer
    from nsad_cli.runs.run import Run

PENALTIES = (100.0, 10.0, 1.0, 0.1, 0.01)
"""λ of λ/2·‖w‖², for features of unit variance."""
FOLDS = 5
SINGLE_PROBLEM_PENALTY = 1.0
"""The penalty if all pairs belong to one problem."""


@dataclass(frozen=True, slots=True)
class LinearHead:
    """A linear head: weight [d] and bias, in float64."""

    weight: Tensor
    bias: Tensor

    def losses(self, features: Tensor, objective: str) -> tuple[Tensor, Tensor]:
        """The loss of each pair's features [P,2,d], and whether it is ranked rightly → [P] each."""
        right, wrong = (features @ self.weight + self.bias).unbind(1)
        return pair_losses(objective, right, wrong), torch.gt(right, wrong).double()


def fit_probe(
    scorer: ProbeScorer,
    train_set: Sequence[Pair],
    held_out: Sequence[Pair],
    *,
    objective: str,
    tokens: int,
    run: Run,
    stage: str,
) -> TrainResult:
    """Fit the head in place, with the penalty of the lowest loss on problems that a fit has left out.

    tokens: of chains that are read at once. The result's steps are the penalties that were tried, and the fit itself.
    """
    started = time.monotonic()
    features = pair_features(scorer, train_set, tokens)
    problems = {prompt: i for i, prompt in enumerate(dict.fromkeys(pair.prompt for pair in train_set))}
    folds = torch.tensor([problems[pair.prompt] % FOLDS for pair in train_set])
    penalties = PENALTIES if len(problems) > 1 else (SINGLE_PROBLEM_PENALTY,)
    steps, crossed = len(penalties) + 1, []
    for step, penalty in enumerate(penalties, 1):
        losses, hits = _cross_validated(features, folds, objective, penalty)
        crossed.append(losses.mean().item())
        run.events.emit(stage, step, steps, loss=crossed[-1], pair_accuracy=hits.mean().item(), penalty=penalty)
    best = crossed.index(min(crossed))
    line = fit_line(features, objective, penalties[best])
    losses, hits = line.losses(features, objective)
    numbers = {"loss": losses.mean().item(), "pair_accuracy": hits.mean().item(), "penalty": penalties[best]}
    held_loss = None
    if held_out:
        held_loss = line.losses(pair_features(scorer, held_out, tokens), objective)[0].mean().item()
        numbers["held_out_loss"] = held_loss
    run.events.emit(stage, steps, steps, **numbers)
    with torch.no_grad():
        scorer.head.weight.copy_(line.weight[None])
        scorer.head.bias.copy_(line.bias[None])
    return TrainResult(
        steps=steps,
        processes=world_size(),
        tokens=sum(map(len, train_set)),
        trained_parameters=sum(parameter.numel() for parameter in scorer.trained().values()),
        held_out_loss=held_loss,
        best_step=best + 1,
        seconds=round(time.monotonic() - started, 1),
    )


def _cross_validated(features: Tensor, folds: Tensor, objective: str, penalty: float) -> tuple[Tensor, Tensor]:
    """Each pair's loss, and whether it is ranked rightly, by a fit to the other folds → [P] each."""
    losses, hits = torch.empty(2, len(features), dtype=features.dtype)
    for fold in folds.unique():
        out = folds == fold
        losses[out], hits[out] = fit_line(features[~out], objective, penalty).losses(features[out], objective)
    return losses, hits


def pair_features(scorer: ProbeScorer, pairs: Sequence[Pair], tokens: int) -> Tensor:
    """The features of each pair's right and wrong chain: [P,2,d], in float64 on the CPU."""
    parts = [
        scorer.pack([side for pair in part for side in pair.sides()]).values for part in group_by_tokens(pairs, tokens)
    ]
    return torch.cat(parts).cpu().double().unflatten(0, (-1, 2))


def fit_line(features: Tensor, objective: str, penalty: float) -> LinearHead:
    """The line of the lowest mean loss and penalty on features [P,2,d], which it brings to unit variance.

    It starts from zero, so that nothing depends on chance.
    """
    flat = features.flatten(0, 1)
    mean, spread = flat.mean(0), flat.std(0, unbiased=False).clamp(min=1e-6)
    unit = (features - mean) / spread
    weight = torch.zeros(features.shape[-1], dtype=features.dtype, requires_grad=True)
    bias = torch.zeros((), dtype=features.dtype, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        loss = LinearHead(weight, bias).losses(unit, objective)[0].mean() + penalty / 2 * (weight * weight).sum()
        loss.backward()
        return loss

    solver.step(closure)
    scaled = weight.detach() / spread
    return LinearHead(scaled, bias.detach() - (scaled * mean).sum())
