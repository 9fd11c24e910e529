"""Fit the combined ranker by binary cross-entropy, with a penalty on the hidden state chosen by cross-validation.

The features are few and the loss is smooth and convex, so L-BFGS finds the optimum within seconds. The same folds, of
whole problems, give each chain a probability from a fit to other problems, which measures and weights the ranker.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nsad_cli.models.packing import group_by_tokens
from nsad_cli.rankers.calibration import sigmoid
from nsad_cli.training.trainer import TrainResult
from nsad_cli.types import Finish
from nsad_cli.utils.distributed import world_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.rankers.combined import CombinedScorer
    from nsad_cli.runs.run import Run
    from nsad_cli.training.ranker_chains import Answered

PENALTIES = (math.inf, 10_000.0, 3_000.0, 1_000.0, 300.0, 100.0, 30.0)
"""λ of λ/2·‖w‖² on the weights of the hidden state, with the loss summed over chains and features of unit variance;
infinite: the hidden state is not used."""
PLAIN_PENALTY = 1.0
"""λ for the other features, of which there are few."""
FOLDS = 5


@dataclass(frozen=True, slots=True)
class LogisticModel:
    """logit = plain · a + states · b + bias, in float64; unknown plain features are replaced by `unknown`."""

    plain: Tensor
    states: Tensor
    bias: Tensor
    unknown: Tensor

    def logits(self, plain: Tensor, states: Tensor) -> Tensor:
        """[N,f], [N,d] → [N]."""
        return torch.where(plain.isnan(), self.unknown, plain) @ self.plain + states @ self.states + self.bias


def fit_combined(
    scorer: CombinedScorer, answered: Sequence[Answered], *, tokens: int, run: Run, stage: str
) -> tuple[TrainResult, list[list[float]]]:
    """Fit a scorer.

    Args:
        scorer: The scorer; its parameters are replaced.
        answered: Problems with graded chains.
        tokens: The maximum number of tokens per forward pass.
        run: The run, for events.
        stage: The stage's name.

    Returns:
        The result, and each chain's probability from a fit to other problems.
    """
    started = time.monotonic()
    chains = [chain for item in answered for chain in item.chains]
    plain = scorer.raw_features(chains).double()
    states, read = hidden_states(scorer, answered, tokens)
    right = torch.tensor([float(bool(chain.correct)) for chain in chains], dtype=torch.float64)
    problem = torch.tensor([place for place, item in enumerate(answered) for _ in item.chains])
    penalties = PENALTIES if len(answered) > 1 else PENALTIES[:1]
    crossed, losses = [], []
    for step, penalty in enumerate(penalties, 1):
        crossed.append(_cross_fitted(plain, states, right, problem % FOLDS, penalty))
        losses.append(torch.nn.functional.binary_cross_entropy_with_logits(crossed[-1], right).item())
        run.events.emit(stage, step, len(penalties) + 1, loss=losses[-1], penalty=penalty)
    best = losses.index(min(losses))
    model = fit_logistic(plain, states, right, penalties[best])
    final = torch.nn.functional.binary_cross_entropy_with_logits(model.logits(plain, states), right).item()
    run.events.emit(stage, len(penalties) + 1, len(penalties) + 1, loss=final, held_out_loss=losses[best])
    with torch.no_grad():
        scorer.head.weight.copy_(model.states[None])
        scorer.head.bias.copy_(model.bias[None])
        scorer.plain.weight.copy_(model.plain[None])
        scorer.unknown.copy_(model.unknown)
    result = TrainResult(
        steps=len(penalties) + 1,
        processes=world_size(),
        tokens=read,
        trained_parameters=model.plain.numel() + model.states.numel() + 1,
        held_out_loss=losses[best],
        best_step=best + 1,
        seconds=round(time.monotonic() - started, 1),
    )
    probabilities = iter([sigmoid(z) for z in crossed[best].tolist()])
    return result, [[next(probabilities) for _ in item.chains] for item in answered]


def hidden_states(scorer: CombinedScorer, answered: Sequence[Answered], tokens: int) -> tuple[Tensor, int]:
    """Compute the means of the chains' hidden states [N,d], in float64 on the CPU, and the number of tokens read."""
    scorer.eval()
    examples = [
        scorer.example(item.problem.question, chain.text, ended=chain.finish is not Finish.LENGTH)
        for item in answered
        for chain in item.chains
    ]
    parts = [scorer.pack(part).values.cpu().double() for part in group_by_tokens(examples, tokens)]
    return torch.cat(parts), sum(map(len, examples))


def _cross_fitted(plain: Tensor, states: Tensor, right: Tensor, folds: Tensor, penalty: float) -> Tensor:
    """Compute each chain's logit by a fit to the other folds → [N]."""
    logits = torch.zeros(len(right), dtype=torch.float64)
    for fold in folds.unique() if folds.unique().numel() > 1 else ():
        out = folds == fold
        logits[out] = fit_logistic(plain[~out], states[~out], right[~out], penalty).logits(plain[out], states[out])
    return logits


def fit_logistic(plain: Tensor, states: Tensor, right: Tensor, penalty: float) -> LogisticModel:
    """Minimise the summed cross-entropy plus penalties, on features scaled to unit variance, from zero.

    Args:
        plain: The features of chain_features, NaN for unknown ones; [N,f].
        states: The hidden states; [N,d].
        right: Whether each chain is right, 1 or 0; [N].
        penalty: λ of the hidden states' weights; infinite to leave them out.

    Returns:
        The model; with right or wrong chains alone, its logits are constant.
    """
    unknown = plain.nanmean(0).nan_to_num(0.0)
    filled = torch.where(plain.isnan(), unknown, plain)
    used = states if math.isfinite(penalty) else states[:, :0]
    features = torch.cat([filled, used], 1)
    mean, spread = features.mean(0), features.std(0, unbiased=False)
    spread = torch.where(spread > 1e-9, spread, torch.inf)  # a constant feature gets no weight
    unit = (features - mean) / spread
    penalties = torch.full((features.shape[1],), PLAIN_PENALTY, dtype=torch.float64)
    penalties[plain.shape[1] :] = penalty
    positive = right.sum().item()
    bias = torch.tensor(math.log((positive + 1) / (len(right) - positive + 1)), dtype=torch.float64)
    weight = torch.zeros(features.shape[1], dtype=torch.float64)
    if 0 < positive < len(right):
        weight.requires_grad_()
        bias.requires_grad_()
        solver = torch.optim.LBFGS([weight, bias], max_iter=500, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            solver.zero_grad()
            logits = unit @ weight + bias
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, right, reduction="sum")
            loss = loss + (penalties * weight * weight).sum() / 2
            loss.backward()
            return loss

        solver.step(closure)
    scaled = weight.detach() / spread
    shift = bias.detach() - (scaled * mean).sum()
    width = plain.shape[1]
    of_states = scaled[width:] if used.shape[1] else torch.zeros(states.shape[1], dtype=torch.float64)
    return LogisticModel(scaled[:width], of_states, shift, unknown)
