"""The losses against arithmetic done by hand and literal float64 references."""

from __future__ import annotations

import math

import pytest
import torch

from nsad_cli.training.losses import (
    bradley_terry_loss,
    calibration,
    contrastive_loss,
    mean_by_sequence,
    nce_loss,
    nce_row_losses,
    negative_training_loss,
    pair_cross_entropy,
    pairwise_power_loss,
    redi_loss,
    token_cross_entropy,
    token_kl,
    token_nll,
    unlikelihood_loss,
)


def test_the_numbers_in_the_docstrings() -> None:
    logits = torch.tensor([[0.0, math.log(3)]], dtype=torch.float64)
    even = torch.zeros(1, 2, dtype=torch.float64)
    assert token_nll(logits, torch.tensor([1])).item() == pytest.approx(math.log(4 / 3))
    assert token_kl(even, logits).item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert token_cross_entropy(even, logits).item() == pytest.approx(0.5 * math.log(4) + 0.5 * math.log(4 / 3))
    nll, distillation, beta = torch.tensor([[1.0], [2.0], [0.5]])
    assert nce_loss(nll, distillation, beta, lam=0.5).item() == pytest.approx(1.5)
    assert pairwise_power_loss(torch.tensor([0.8]), torch.tensor([0.5])).item() == pytest.approx(0.133)


def test_the_rankers_other_losses_by_hand() -> None:
    one, none = torch.tensor([1.0, math.log(3)]), torch.tensor([0.0, 0.0])
    found = bradley_terry_loss(one, none)
    assert found.tolist() == pytest.approx([math.log(1 + 1 / math.e), math.log(4 / 3)])
    assert bradley_terry_loss(one + 7, none + 7).tolist() == pytest.approx(found.tolist()), "differences alone count"
    assert pair_cross_entropy(one, none)[1].item() == pytest.approx(math.log(4 / 3) + math.log(2))
    huge = torch.tensor([1000.0])
    assert bradley_terry_loss(-huge, huge).item() == pair_cross_entropy(-huge, huge).item() == 2000.0


def test_the_rivals_numbers_in_the_docstrings() -> None:
    wrong = torch.tensor([False, True])
    assert negative_training_loss(torch.tensor([1.0, 2.0]), wrong).tolist() == pytest.approx([1.0, -0.1])
    assert unlikelihood_loss(torch.tensor([1.0, math.log(2)]), wrong).tolist() == pytest.approx(
        [1.0, 0.05 * math.log(2)]
    )
    means = mean_by_sequence(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 1]), 2)
    assert means.tolist() == [2.0, 5.0]
    assert redi_loss(torch.tensor([1.0, 2.0]), wrong).tolist() == pytest.approx([1.0, -1.6])
    assert contrastive_loss(torch.tensor([0.5]), torch.tensor([1.2])).item() == pytest.approx(0.8)
    assert contrastive_loss(torch.tensor([0.5]), torch.tensor([1.6])).item() == pytest.approx(0.5)


def test_unlikelihood_of_a_certain_token_is_finite() -> None:
    nll = torch.zeros(1, requires_grad=True)
    loss = unlikelihood_loss(nll, torch.tensor([True]))
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert nll.grad is not None
    assert torch.isfinite(nll.grad).all()


def test_beta_is_shared_by_a_sequence_and_by_nothing_else() -> None:
    kl = torch.tensor([0.2, 5.0, 0.4, 1.0], dtype=torch.float64)
    rows = torch.tensor([0, 1, 0, 1])
    beta = calibration(kl, rows)
    assert beta.tolist() == pytest.approx([math.tanh(0.3), math.tanh(3.0), math.tanh(0.3), math.tanh(3.0)])
    assert calibration(kl, rows, "token").tolist() == pytest.approx([math.tanh(x) for x in kl.tolist()])


def test_beta_with_a_row_that_has_no_token() -> None:
    assert calibration(torch.tensor([0.5]), torch.tensor([2])).tolist() == pytest.approx([math.tanh(0.5)])
    assert calibration(torch.empty(0), torch.empty(0, dtype=torch.long)).numel() == 0


@pytest.mark.parametrize("weights", [(0.7, 0.0), (0.0, 1.3), (0.4, 1.1)])
def test_nces_three_numbers_at_once_equal_the_three_functions(weights: tuple[float, float]) -> None:
    torch.manual_seed(1)
    student = torch.randn(6, 9, dtype=torch.float64, requires_grad=True)
    nat, negative = torch.randn(2, 6, 9, dtype=torch.float64) * 3
    targets, each = torch.randint(9, (6,)), torch.randn(6, dtype=torch.float64)
    at_once = nce_row_losses(student, targets, nat, negative)
    one_by_one = (token_nll(student, targets), token_cross_entropy(nat, student), token_kl(negative, nat))
    gradients: list[torch.Tensor] = []
    for nll, distillation, kl in (at_once, one_by_one):
        assert kl is not None
        assert not kl.requires_grad
        parts = [w * part for w, part in zip(weights, (nll, distillation), strict=True) if w]
        gradients += torch.autograd.grad((sum(parts, torch.zeros(())) * each * kl).sum(), student, retain_graph=True)
    for got, want in zip([*at_once, gradients[0]], [*one_by_one, gradients[1]], strict=True):
        assert got is not None
        torch.testing.assert_close(got, want, atol=1e-12, rtol=0)
    assert nce_row_losses(student, targets, nat, None)[2] is None


def test_nces_numbers_of_half_precision_logits_are_wide() -> None:
    torch.manual_seed(2)
    student = torch.randn(3, 50).bfloat16().requires_grad_()
    nat, negative = torch.randn(2, 3, 50).bfloat16()
    targets = torch.tensor([4, 0, 49])
    with torch.autocast("cpu", torch.bfloat16):
        nll, distillation, kl = nce_row_losses(student, targets, nat, negative)
    assert kl is not None
    assert {part.dtype for part in (nll, distillation, kl)} == {torch.float32}
    torch.testing.assert_close(kl, token_kl(negative.double(), nat.double()).float(), rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad((nll + distillation).sum(), student)
    assert gradient.dtype == torch.bfloat16


def test_nce_gradient_equals_a_literal_float64_loop() -> None:
    torch.manual_seed(0)
    student = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    nat, negative = torch.randn(2, 5, 7, dtype=torch.float64)
    targets, rows, lam = torch.tensor([1, 2, 0, 6, 3]), torch.tensor([0, 0, 0, 1, 1]), 0.5
    beta = calibration(token_kl(negative, nat), rows)
    ours = nce_loss(token_nll(student, targets), token_cross_entropy(nat, student), beta, lam).sum()
    (gradient,) = torch.autograd.grad(ours, student)

    literal = torch.zeros((), dtype=torch.float64)
    for sequence in ([0, 1, 2], [3, 4]):
        p = [torch.softmax(nat[i], 0) for i in sequence]
        q = [torch.softmax(negative[i], 0) for i in sequence]
        kl = torch.stack([(q_ * (q_ / p_).log()).sum() for p_, q_ in zip(p, q, strict=True)]).sum() / len(sequence)
        for i, p_ in zip(sequence, p, strict=True):
            s = torch.softmax(student[i], 0)
            literal = literal - (1 - lam) * s[targets[i]].log()
            literal = literal + lam * (0.5 + torch.tanh(kl)) * -(p_ * s.log()).sum()
    (expected,) = torch.autograd.grad(literal, student)
    assert ours.item() == pytest.approx(literal.item(), abs=1e-12)
    assert torch.allclose(gradient, expected, atol=1e-12, rtol=0)


def test_half_precision_logits_are_summed_in_float32() -> None:
    logits = torch.randn(3, 50, dtype=torch.bfloat16)
    assert token_nll(logits, torch.tensor([0, 1, 2])).dtype == torch.float32
