"""Fit the probe to the optimum of its loss over all pairs, with a penalty chosen by cross-validation.

A linear head on fixed features has few parameters and a smooth loss, so L-BFGS finds the optimum within a second,
while gradient steps with a learning rate may stop before it. The features are computed once, in one pass per chain.
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
        """Compute each pair's loss and whether it is ranked correctly, from features [P,2,d] → [P] each."""
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
    """Fit the head in place, with the penalty of lowest cross-validated loss.

    Args:
        scorer: The probe.
        train_set: The pairs to fit.
        held_out: Pairs for the held-out loss; may be empty.
        objective: power, bradley-terry or bce; see pair_losses.
        tokens: The maximum number of tokens per forward pass.
        run: The run, for events.
        stage: The stage's name.

    Returns:
        The result; its steps are the penalties tried and the final fit.
    """
    started = time.monotonic()
    features = pair_features(scorer, train_set, tokens)
    problems = {prompt: i for i, prompt in enumerate(dict.fromkeys(pair.prompt for pair in train_set))}
    folds = torch.tensor([problems[pair.prompt] % FOLDS for pair in train_set])
    penalties = PENALTIES if len(problems) > 1 else (SINGLE_PROBLEM_PENALTY,)
    steps, validation_losses = len(penalties) + 1, []
    for step, penalty in enumerate(penalties, 1):
        losses, hits = _cross_validated(features, folds, objective, penalty)
        loss = losses.mean().item()
        validation_losses.append(loss)
        run.events.emit(stage, step, steps, loss=loss, pair_accuracy=hits.mean().item(), penalty=penalty)
    best = validation_losses.index(min(validation_losses))
    head = fit_head(features, objective, penalties[best])
    losses, hits = head.losses(features, objective)
    numbers = {"loss": losses.mean().item(), "pair_accuracy": hits.mean().item(), "penalty": penalties[best]}
    held_loss = None
    if held_out:
        held_loss = head.losses(pair_features(scorer, held_out, tokens), objective)[0].mean().item()
        numbers["held_out_loss"] = held_loss
    run.events.emit(stage, steps, steps, **numbers)
    with torch.no_grad():
        scorer.head.weight.copy_(head.weight[None])
        scorer.head.bias.copy_(head.bias[None])
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
    """Compute each pair's loss and whether it is ranked correctly, by a fit to the other folds → [P] each."""
    losses, hits = torch.empty(2, len(features), dtype=features.dtype)
    for fold in folds.unique():
        out = folds == fold
        losses[out], hits[out] = fit_head(features[~out], objective, penalty).losses(features[out], objective)
    return losses, hits


def pair_features(scorer: ProbeScorer, pairs: Sequence[Pair], tokens: int) -> Tensor:
    """Compute the features of each pair's right and wrong chain → [P,2,d], in float64 on the CPU."""
    parts = [
        scorer.pack([side for pair in part for side in pair.sides()]).values for part in group_by_tokens(pairs, tokens)
    ]
    features: Tensor = torch.cat(parts).cpu().double().unflatten(0, (-1, 2))
    return features


def fit_head(features: Tensor, objective: str, penalty: float) -> LinearHead:
    """Fit a linear head: minimise mean loss plus penalty on features [P,2,d] scaled to unit variance.

    The fit starts from zero, so it is deterministic.
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
