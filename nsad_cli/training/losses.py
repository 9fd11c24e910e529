"""Loss functions: pure tensor functions that return a loss per token, sequence or pair; callers sum and normalise.

Shapes: N completion tokens of a flattened batch, V tokens of the vocabulary, S sequences, P pairs.
Symbols as in the paper (arXiv 2312.12832): λ `lam`, β `beta`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def token_nll(logits: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood per token: −log softmax(logits)[target], in nats; [N,V], [N] → [N] float32 or wider.

    With logits (0, ln 3) and target 1, p = 3/4 and the loss is ln(4/3) = 0.2877.
    """
    return F.cross_entropy(_wide(logits), targets, reduction="none")


def token_kl(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """KL(p ‖ q) per token, in nats; [N,V], [N,V] → [N].

    With p = (1/2, 1/2) and q = (1/4, 3/4): ½·ln 2 + ½·ln(2/3) = 0.1438.
    """
    log_p = F.log_softmax(_wide(logits_p), -1)
    log_q = F.log_softmax(_wide(logits_q), -1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def token_cross_entropy(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """H(p, q) per token: −Σ p log q, in nats, differentiable in both; [N,V], [N,V] → [N].

    With p = (1/2, 1/2) and q = (1/4, 3/4): ½·ln 4 + ½·ln(4/3) = 0.8370.
    """
    return -(F.softmax(_wide(logits_p), -1) * F.log_softmax(_wide(logits_q), -1)).sum(-1)


def calibration(kl: Tensor, sequence: Tensor, mode: str = "sequence") -> Tensor:
    """β = tanh(KL(p_neg ‖ p_NAT)) per token; [N], [N] → [N] (section 3.2 of the paper).

    KLs (0.2, 0.4) of one sequence give tanh(0.3) = 0.2913 for both.

    Args:
        kl: KL per token [N].
        sequence: The index of each token's sequence, 0 … S−1 [N].
        mode: `sequence` averages the KL over the sequence's completion tokens, so that they share one β; `token` gives
            each token its own β.

    Returns:
        β per token [N].
    """
    if mode == "token":
        return torch.tanh(kl)
    size = int(sequence.max()) + 1 if sequence.numel() else 0
    total = kl.new_zeros(size).index_add_(0, sequence, kl)
    count = kl.new_zeros(size).index_add_(0, sequence, torch.ones_like(kl))
    return torch.tanh(total / count.clamp(min=1))[sequence]


def nce_loss(nll: Tensor, distillation: Tensor, beta: Tensor, lam: float) -> Tensor:
    """Negative calibrated enhancement per token: (1−λ)·CE + λ·(1/2 + β)·H(p_NAT, p_student); [N] each → [N].

    nll 1, distillation 2, β 1/2, λ 1/2: ½·1 + ½·1·2 = 1.5.
    """
    return (1 - lam) * nll + lam * (0.5 + beta) * distillation


def nce_row_losses(
    student: Tensor, targets: Tensor, nat: Tensor, negative: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """NCE's three terms per token in one pass: token_nll, token_cross_entropy(nat, student), token_kl(negative, nat).

    Logits [N,V], targets [N] → [N] each; the KL is None without `negative`. Differentiable once, and only with respect
    to the student. Computes the same as the three functions with three softmaxes instead of five.
    """
    nll, distillation, kl = _NceRows.apply(student, targets, nat, negative)  # type: ignore[no-untyped-call]  # torch has no annotations here
    return nll, distillation, kl


class _NceRows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, student: Tensor, targets: Tensor, nat: Tensor, negative: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        log_nat = F.log_softmax(_wide(nat), -1)
        kl = None
        if negative is not None:
            log_negative = F.log_softmax(_wide(negative), -1)
            p_negative = log_negative.exp()
            kl = _row_dot(p_negative, log_negative.sub_(log_nat))
            del log_negative, p_negative
        p_nat, log_student = log_nat.exp_(), F.log_softmax(_wide(student), -1)
        nll = -log_student.gather(1, targets[:, None])[:, 0]
        distillation = -_row_dot(p_nat, log_student)
        ctx.save_for_backward(log_student.exp_(), p_nat, targets)
        ctx.dtype = student.dtype
        ctx.set_materialize_grads(False)
        if kl is not None:
            ctx.mark_non_differentiable(kl)
        return nll, distillation, kl

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_nll: Tensor | None, g_distillation: Tensor | None, _: Tensor | None) -> Any:
        p_student, p_nat, targets = ctx.saved_tensors
        given = [g for g in (g_nll, g_distillation) if g is not None]
        gradient = p_student * sum(given[1:], start=given[0])[:, None]
        if g_distillation is not None:
            gradient.addcmul_(p_nat, g_distillation[:, None], value=-1)
        if g_nll is not None:
            gradient.scatter_add_(1, targets[:, None], -g_nll[:, None])
        return gradient.to(ctx.dtype), None, None, None


def _row_dot(a: Tensor, b: Tensor) -> Tensor:
    """Row-wise dot product [N,V], [N,V] → [N], without an intermediate [N,V]."""
    with torch.autocast(a.device.type, enabled=False):  # autocast would compute the product in bfloat16
        return torch.einsum("nv,nv->n", a, b)


def negative_training_loss(nll: Tensor, wrong: Tensor, weight: float = 0.05) -> Tensor:
    """NT per token: −log p of right rationales, +0.05·log p of wrong ones; [N], [N] bool → [N].

    The paper's baseline after He and Glass 2020. nll (1, 2), the second wrong: (1, −0.1).
    """
    return torch.where(wrong, -weight * nll, nll)


def unlikelihood_loss(nll: Tensor, wrong: Tensor, weight: float = 0.05) -> Tensor:
    """UL per token: −log p of right rationales, −0.05·log(1 − p) of wrong ones; [N], [N] bool → [N].

    Unlikelihood training, Welleck et al. 2020. p = (1/e, 1/2), the second wrong: (1, 0.05·ln 2) = (1, 0.0347).
    """
    certain = nll.clamp(min=1e-6)  # the loss is infinite at p = 1
    return torch.where(wrong, -weight * torch.log(-torch.expm1(-certain)), nll)


def critical_token_weights(right_nll: Tensor, wrong_nll: Tensor, sequence: Tensor) -> Tensor:
    """Weights of tokens by how much likelier a model of D+ finds them than one of D−; [N], [N], [N] → [N].

    2σ(log p+ − log p−), divided by its mean over the sequence, so that every sequence keeps its total weight. The
    contrast is that of cDPO (arXiv 2411.19943); the use as weights of right rationales is ours. log p+ − log p− of
    (0, ln 3) in one sequence: 2σ = (1, 1.5), weights (0.8, 1.2).
    """
    weight = 2 * torch.sigmoid(wrong_nll - right_nll)
    size = int(sequence.max()) + 1 if sequence.numel() else 0
    return weight / mean_by_sequence(weight, sequence, size)[sequence]


def mean_by_sequence(values: Tensor, sequence: Tensor, count: int) -> Tensor:
    """The mean of each sequence's tokens; [N], [N] → [count].

    Values (1, 3, 5) of sequences (0, 0, 1): (2, 5).
    """
    total = values.new_zeros(count).index_add(0, sequence, values)
    return total / values.new_zeros(count).index_add(0, sequence, torch.ones_like(values)).clamp(min=1)


def redi_loss(mean_nll: Tensor, wrong: Tensor, weight: float = 0.8) -> Tensor:
    """REDI per sequence: length-normalised −log p of right rationales, +0.8·log p of wrong ones; [S], [S] bool → [S].

    Reinforcement distillation, Xu et al. 2025, its second stage. Means (1, 2), the second wrong: (1, −1.6).
    """
    return torch.where(wrong, -weight * mean_nll, mean_nll)


def contrastive_loss(right: Tensor, wrong: Tensor, margin: float = 1.0) -> Tensor:
    """CL per pair: the right one's mean −log p plus a hinge loss on its margin over the wrong one; [P], [P] → [P].

    The paper's CL trainer is not published; this is margin ranking as in SimCLS (Liu and Liu 2021). Mean nll 0.5 for
    the right one and 1.2 for the wrong one: 0.5 + (1 − 0.7) = 0.8.
    """
    return right + torch.relu(margin - (wrong - right))


def pairwise_power_loss(right: Tensor, wrong: Tensor) -> Tensor:
    """The reference's ranker loss per pair: (1−s+)³ + (s−)³ for scores in [0, 1]; [P], [P] → [P].

    s+ = 0.8 and s− = 0.5: 0.008 + 0.125 = 0.133.
    """
    return (1 - right) ** 3 + wrong**3


def bradley_terry_loss(right: Tensor, wrong: Tensor) -> Tensor:
    """Bradley–Terry per pair: −log σ(z+ − z−) for logits; [P], [P] → [P].

    Bradley and Terry 1952, the usual loss of reward models. z+ = 1 and z− = 0: ln(1 + 1/e) = 0.3133.
    """
    return F.softplus(wrong - right)


def pair_cross_entropy(right: Tensor, wrong: Tensor) -> Tensor:
    """Binary cross-entropy of a pair's two logits, summed: −log σ(z+) − log(1 − σ(z−)); [P], [P] → [P].

    z+ = ln 3 and z− = 0: ln(4/3) + ln 2 = 0.9808.
    """
    return F.softplus(-right) + F.softplus(wrong)


def _wide(logits: Tensor) -> Tensor:
    """Convert half precision to float32; float64 stays float64, for reference computations."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
