"""Packs: attention stays inside each sequence, losses and gradients equal those of sequences run one by one."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nsad_cli.errors import NsadError
from nsad_cli.models import lm_head as heads
from nsad_cli.models import packing
from nsad_cli.models.lm_head import row_losses, vocabulary_head
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.packing import Example, enable_packing, group_by_tokens, hidden_states, pack
from nsad_cli.models.segment_attention import Segment, segment_attention
from nsad_cli.training.likelihood import CompletionObjective
from nsad_cli.training.losses import calibration, nce_loss, token_cross_entropy, token_kl, token_nll
from nsad_cli.training.nce import NceObjective
from tests.helpers.nat_models import MODELS, QV, SHAPE, nat_model, shake
from tests.helpers.single_sequences import EXAMPLES, alone


def trained_pair(kind: str) -> Adapters:
    adapters = nat_model(kind)
    shake(adapters, "nat", 3)
    return adapters


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("kind", MODELS)
def test_packed_losses_and_gradients_equal_those_of_single_sequences(kind: str, share: bool) -> None:
    adapters = trained_pair(kind)
    objective = CompletionObjective(adapters, "nat", share=share)
    objective.eval()
    (batch,) = objective.packs(EXAMPLES, 1000)
    assert (batch.input_ids.shape[1] < sum(map(len, EXAMPLES)) - len(EXAMPLES)) == share
    ours = objective.loss(batch).total
    parameters = list(objective.trained().values())
    gradients = torch.autograd.grad(ours, parameters)
    expected = torch.zeros((), dtype=torch.float64)
    for example in EXAMPLES:
        expected = expected + token_nll(alone(adapters, "nat", example), torch.tensor(example.completion)).sum()
    assert ours.item() == pytest.approx(expected.item(), abs=1e-10)
    for got, want in zip(gradients, torch.autograd.grad(expected, parameters), strict=True):
        assert (got - want).abs().max() < 1e-7  # transformers' norms work in float32, here over other shapes


def test_a_sliding_window_holds_inside_packs() -> None:
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    adapters = Adapters(MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=3)).double().eval())
    adapters.add_lora("nce", QV, 0)
    shake(adapters, "nce", 1)
    for share in (False, True):
        objective = CompletionObjective(adapters, "nce", share=share)
        objective.eval()
        (batch,) = objective.packs(EXAMPLES, 1000)
        expected = sum(
            token_nll(alone(adapters, "nce", item), torch.tensor(item.completion)).sum().item() for item in EXAMPLES
        )
        assert objective.loss(batch).total.item() == pytest.approx(expected, abs=1e-10)


def test_a_model_that_cannot_pack_runs_its_sequences_one_by_one() -> None:
    adapters = trained_pair("llama")
    losses = []
    for attention in ("eager", "sdpa"):
        adapters.base.set_attn_implementation(attention)
        objective = CompletionObjective(adapters, "nat", share=True)
        objective.eval()
        assert objective.share == (attention == "sdpa") == enable_packing(adapters.base)
        with torch.no_grad():
            losses.append(objective.loss(objective.packs(EXAMPLES, 1000)[0]).total.item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)  # eager attention takes its softmax in float32


def test_a_model_with_attention_code_of_its_own_is_not_taken_for_one_that_packs() -> None:
    from transformers import FalconConfig, FalconForCausalLM

    torch.manual_seed(0)
    config = FalconConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2, num_attention_heads=4)
    model = FalconForCausalLM(config).double().eval()
    if enable_packing(model):
        pytest.skip("this version of transformers lets Falcon pack")
    with torch.no_grad(), pytest.raises(AssertionError, match="shared prompt"):
        hidden_states(model, pack(EXAMPLES, share=True))
    with torch.no_grad():
        whole = hidden_states(model, pack(EXAMPLES[:2]))
        parts = torch.cat([hidden_states(model, pack([example])) for example in EXAMPLES[:2]])
    assert torch.allclose(whole, parts)


def test_an_adapter_on_the_vocabulary_head_is_refused() -> None:
    adapters = Adapters(MODELS["llama"]().double().eval())
    adapters.add_lora("nce", dataclasses.replace(QV, targets=("q_proj", "lm_head")), 0)
    with pytest.raises(NsadError, match="LM head"):
        CompletionObjective(adapters, "nce")


def test_outside_packs_nothing_changes() -> None:
    adapters = trained_pair("qwen2")
    ids, mask = torch.arange(1, 13).view(2, 6), torch.ones(2, 6, dtype=torch.long)
    mask[0, :2] = 0
    with torch.no_grad():
        before = adapters.model(input_ids=ids, attention_mask=mask).logits
        assert enable_packing(adapters.base)
        assert torch.equal(adapters.model(input_ids=ids, attention_mask=mask).logits, before)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4)), min_size=1, max_size=6), st.booleans()
)
def test_a_pack_holds_every_token_in_its_place(shapes: list[tuple[int, int, int]], share: bool) -> None:
    examples = [
        Example(tuple(range(100 * p, 100 * p + n)), tuple(range(1000 * i, 1000 * i + c)))
        for i, (p, n, c) in enumerate(shapes)
    ]
    made = pack(examples, share=share, whole=True)
    flat = made.input_ids[0].tolist()
    assert sum(segment.length for segment in made.segments) == len(flat)
    for row, example in enumerate(examples):
        mine = made.rows == row
        assert made.targets[mine].tolist() == list(example.completion)
        assert [flat[i] for i in made.completion[mine]] == list(example.completion)
        assert [flat[i] for i in made.before[mine]] == [example.prompt[-1], *example.completion[:-1]]
        places = [made.position_ids[0, i].item() for i in made.completion[mine]]
        assert places == list(range(len(example.prompt), len(example)))
    assert made.tokens == sum(map(len, examples))


@given(st.lists(st.integers(1, 9), max_size=20), st.integers(1, 12))
def test_filling_keeps_order_and_budget(lengths: list[int], budget: int) -> None:
    items = [Example((1,) * n, ()) for n in lengths]
    runs = group_by_tokens(items, budget)
    assert [item for run in runs for item in run] == items
    assert all(len(run) == 1 or sum(map(len, run)) <= budget for run in runs)


# --- the head ---------------------------------------------------------------------------------------------------------


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two losses of each row, weighed by rows, and a third without gradient."""
    torch.manual_seed(0)
    linear = torch.nn.Linear(5, 11, dtype=torch.float64).requires_grad_(False)
    hidden = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    targets, teacher = torch.arange(7), torch.randn(7, 11, dtype=torch.float64)

    def losses(logits: Tensor, part: slice) -> list[Tensor]:
        return [
            token_nll(logits, targets[part]),
            token_cross_entropy(teacher[part], logits),
            token_kl(teacher[part], teacher[part].flip(-1)),
        ]

    weights = torch.randn(2, 7, dtype=torch.float64)
    results = []
    for chunk in (3, 100):
        monkeypatch.setattr(heads, "CHUNK_TOKENS", chunk)
        first, second, third = row_losses(linear, hidden, losses)
        assert not third.requires_grad
        gradients = torch.autograd.grad((weights[0] * first + weights[1] * second * third).sum(), [hidden])
        results.append([first, second, third, *gradients])
    plain = losses(linear(hidden), slice(0, 7))
    expected = torch.autograd.grad((weights[0] * plain[0] + weights[1] * plain[1] * plain[2]).sum(), [hidden])
    for found in results:
        for got, want in zip(found, [*plain, *expected], strict=True):
            assert torch.allclose(got, want, atol=1e-12, rtol=0)


def test_heads_with_a_scale_or_a_cap_are_known_and_others_refused() -> None:
    from transformers import CohereConfig, CohereForCausalLM, Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    models: tuple[torch.nn.Module, ...] = (
        CohereForCausalLM(CohereConfig(**SHAPE, bos_token_id=1, eos_token_id=2, logit_scale=0.25)),
        Gemma2ForCausalLM(Gemma2Config(**SHAPE, head_dim=8, final_logit_softcapping=2.0)),
    )
    for untrained in models:
        model = untrained.double().eval()
        ids = torch.arange(1, 9)[None]
        with torch.no_grad():
            hidden = hidden_states(model, pack([Example(tuple(range(1, 8)), (8,))], whole=True))
            assert torch.allclose(vocabulary_head(model)(hidden), model(input_ids=ids).logits[0], atol=1e-10)


# --- NCE --------------------------------------------------------------------------------------------------------------


def three(seed: int = 5) -> Adapters:
    adapters = trained_pair("llama")
    adapters.add_lora("nce", QV, seed)
    shake(adapters, "nce", 7)
    return adapters


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("beta", ["sequence", "token", "fixed"])
def test_nce_equals_the_literal_loss(beta: str, share: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "CHUNK_TOKENS", 4)
    adapters = three()
    objective = NceObjective(adapters, lam=0.3, beta=beta, share=share)
    objective.eval()
    (batch,) = objective.packs(EXAMPLES, 1000)
    ours = objective.loss(batch).total
    parameters = list(objective.trained().values())
    gradients = torch.autograd.grad(ours, parameters)
    expected = torch.zeros((), dtype=torch.float64)
    for example in EXAMPLES:
        student = alone(adapters, "nce", example)
        nat, negative = (alone(adapters, name, example).detach() for name in ("nat", "negative"))
        kl = token_kl(negative, nat)
        factor = (
            torch.full_like(kl, 0.5)
            if beta == "fixed"
            else calibration(kl, torch.zeros(len(kl), dtype=torch.long), beta)
        )
        nll = token_nll(student, torch.tensor(example.completion))
        expected = expected + nce_loss(nll, token_cross_entropy(nat, student), factor, 0.3).sum()
    assert ours.item() == pytest.approx(expected.item(), abs=1e-10)
    for got, want in zip(gradients, torch.autograd.grad(expected, parameters), strict=True):
        assert (got - want).abs().max() < 1e-7  # transformers' norms work in float32, here over other shapes


def test_kept_kl_saves_the_negative_pass_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    adapters = three()
    objective = NceObjective(adapters, lam=0.5, beta="sequence")
    objective.prepare(EXAMPLES, epochs=2)
    passes: list[str] = []
    plain = Adapters.use

    def counted(self: Adapters, name: str | None) -> Any:
        passes.append(str(name))
        return plain(self, name)

    monkeypatch.setattr(Adapters, "use", counted)
    (batch,) = objective.packs(EXAMPLES, 1000)
    first = objective.loss(batch).total
    second = objective.loss(batch).total
    assert passes == ["nce", "nat", "negative", "nce", "nat"]
    assert torch.equal(first, second)
    other = NceObjective(adapters, lam=0.5, beta="sequence")
    other.prepare(EXAMPLES, epochs=2)
    other.load_state(objective.state())
    passes.clear()
    turned = other.loss(other.packs(EXAMPLES[::-1], 1000)[0]).total
    assert turned.item() == pytest.approx(first.item(), abs=1e-10)
    assert "negative" not in passes


def test_the_variable_length_kernel_gets_every_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A double of the kernel computes each span that it is given; the result is that of one call per segment."""

    def kernel(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        query_bounds: Tensor,
        key_bounds: Tensor,
        max_queries: int,
        max_keys: int,
        *,
        scale: float,
        window_size: tuple[int, int],
        enable_gqa: bool,
    ) -> Tensor:
        assert max_queries == query_bounds.diff().max()
        assert max_keys == key_bounds.diff().max()
        assert window_size == (-1, 0)
        assert enable_gqa
        outputs = []
        for i in range(len(query_bounds) - 1):
            q, k, v = (
                part[bounds[i] : bounds[i + 1]].transpose(0, 1)
                for part, bounds in ((query, query_bounds), (key, key_bounds), (value, key_bounds))
            )
            seen = torch.ones(q.shape[1], k.shape[1], dtype=torch.bool).tril(k.shape[1] - q.shape[1])
            k, v = (part.repeat_interleave(len(q) // len(part), 0) for part in (k, v))
            weights = (q @ k.transpose(1, 2) * scale).masked_fill(~seen, float("-inf")).softmax(-1)
            outputs.append((weights @ v).transpose(0, 1))
        return torch.cat(outputs)

    segments = (Segment(4), Segment(3, 0), Segment(2, 0), Segment(5))
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, heads, 14, 8, dtype=torch.float64) for heads in (4, 2, 2))
    monkeypatch.setattr(packing, "_varlen", kernel)
    packed = packing._variable_length(query, key, value, segments, 0.3, None)
    assert (packed - segment_attention(query, key, value, segments, 0.3)).abs().max() < 1e-12
    query, key, value = (part[:, :, :9] for part in (query, key, value))
    unshared = packing._variable_length(query, key, value, segments[:1] + segments[3:], 0.3, None)
    assert (unshared - segment_attention(query, key, value, segments[:1] + segments[3:], 0.3)).abs().max() < 1e-12
    assert packing._layout(segments, query.device) is packing._layout(segments, query.device)
