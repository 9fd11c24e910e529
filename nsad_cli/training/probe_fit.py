"""Fitting the probe: its loss over all pairs at once, to the optimum, with the penalty that the held-out pairs choose.

A linear head on fixed features has few parameters and a smooth loss, so L-BFGS finds its optimum in a second where
steps by a learning rate would stop somewhere on the way. The features are computed once, by one pass a chain.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from nsad_cli.packing import fill
from nsad_cli.processes import count
from nsad_cli.rankers.probe import ProbeScorer
from nsad_cli.runs import Run
from nsad_cli.training.ranker import Pair, pair_losses
from nsad_cli.training.trainer import TrainResult

PENALTIES = (100.0, 10.0, 1.0, 0.1, 0.01)
"""λ of λ/2·‖w‖², for features of unit variance, from the strongest: one stands for a stage's step."""
UNHELD = 1.0
"""Where no pair is held out."""


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
    """Fit the head in place; of each penalty's the one with the lowest loss on held-out pairs stays.

    tokens: of chains that are read at once. The result's steps are penalties.
    """
    started = time.monotonic()
    features = pair_features(scorer, train_set, tokens)
    held = pair_features(scorer, held_out, tokens) if held_out else None
    flat = features.flatten(0, 1)
    mean, spread = flat.mean(0), flat.std(0, unbiased=False).clamp(min=1e-6)
    penalties = PENALTIES if held is not None else (UNHELD,)
    best: tuple[float, int, Tensor, Tensor] | None = None
    for step, penalty in enumerate(penalties, 1):
        weight, bias = _optimum((features - mean) / spread, objective, penalty)
        weight, bias = weight / spread, bias - (weight / spread * mean).sum()
        loss, accuracy = _measured(features, weight, bias, objective)
        numbers = {"loss": loss, "pair_accuracy": accuracy, "penalty": penalty}
        if held is not None:
            numbers["held_out_loss"] = _measured(held, weight, bias, objective)[0]
        run.emit(stage, step, len(penalties), **numbers)
        reached = numbers.get("held_out_loss", loss)
        if best is None or reached < best[0]:
            best = reached, step, weight, bias
    assert best is not None
    reached, step, weight, bias = best
    with torch.no_grad():
        scorer.head.weight.copy_(weight[None])
        scorer.head.bias.copy_(bias[None])
    return TrainResult(
        steps=len(penalties),
        processes=count(),
        tokens=sum(map(len, train_set)),
        trained_parameters=sum(parameter.numel() for parameter in scorer.trained().values()),
        held_out_loss=reached if held is not None else None,
        best_step=step,
        seconds=round(time.monotonic() - started, 1),
    )


def pair_features(scorer: ProbeScorer, pairs: Sequence[Pair], tokens: int) -> Tensor:
    """The features of each pair's right and wrong chain: [P,2,d], in float64 on the CPU."""
    parts = [scorer.pack([side for pair in part for side in pair.sides()]).values for part in fill(pairs, tokens)]
    return torch.cat(parts).cpu().double().unflatten(0, (-1, 2))


def _optimum(features: Tensor, objective: str, penalty: float) -> tuple[Tensor, Tensor]:
    """Weight [d] and bias of the lowest mean loss; from zero, so that nothing depends on chance."""
    weight = torch.zeros(features.shape[-1], dtype=features.dtype, requires_grad=True)
    bias = torch.zeros((), dtype=features.dtype, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        right, wrong = (features @ weight + bias).unbind(1)
        loss = pair_losses(objective, right, wrong).mean() + penalty / 2 * (weight * weight).sum()
        loss.backward()
        return loss

    solver.step(closure)
    return weight.detach(), bias.detach()


@torch.no_grad()
def _measured(features: Tensor, weight: Tensor, bias: Tensor, objective: str) -> tuple[float, float]:
    """The mean loss, without the penalty, and the share of pairs ranked rightly."""
    right, wrong = (features @ weight + bias).unbind(1)
    return pair_losses(objective, right, wrong).mean().item(), torch.gt(right, wrong).double().mean().item()
