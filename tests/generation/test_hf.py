"""The transformers engine: reproducible, equal to generate() when greedy, and honest about its tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from nsad_cli.generation.hf import HFSampler
from nsad_cli.generation.kv_cache import cache_argument
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.nat.config import AdapterSettings
from nsad_cli.models.student import Student, load_student
from nsad_cli.types import Chain, Finish
from tests.helpers.nat_models import shake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TASKS = [
    Task(f"p{i}", question, (0, 1, 2))
    for i, question in enumerate(
        ("Ana has 3 cups.", "How many more balls does Ben have at first than he has now?", "3 + 4", "0")
    )
]


@pytest.fixture(scope="module")
def student(tiny_llama: Path) -> Student:
    made = load_student(str(tiny_llama), device="cpu")
    with torch.no_grad():  # a random model hardly ever stops: make the end likelier, so that rows retire
        made.model.lm_head.weight[made.eos_id] += 0.15
    return made


def chains(student: Student, size: int, sampling: Sampling, tasks: list[Task] = TASKS) -> dict[tuple[str, int], Chain]:
    return {(c.problem_id, c.index): c for c in HFSampler(student, None, None, size).sample(tasks, sampling, seed="s")}


def test_a_stream_takes_a_task_when_the_batch_has_room_for_it(student: Student) -> None:
    """Taken tasks are claimed, so no more of them are taken than fill the batch; the chains are those of `sample`."""
    sampling, size = Sampling(1.0, 1.0, 24), 5
    tasks = [Task(f"p{i}", f"{i} + 4", (0, 1)) for i in range(12)]
    taken: list[str] = []
    limit = [3]

    def requests() -> Iterator[Task]:
        for task in tasks:
            taken.append(task.problem_id)
            yield task

    found: dict[tuple[str, int], Chain] = {}
    stream = HFSampler(student, None, None, size).stream(requests(), sampling, seed="s", max_in_flight=lambda: limit[0])
    for chain in stream:
        assert 2 * len(taken) - len(found) <= min(size, limit[0]) + 1, "the last one that fits brings both its chains"
        found[chain.problem_id, chain.index] = chain
        if len(found) == 10:
            limit[0] = 1 + size  # what is in flight stays
    alone = chains(student, size, sampling, tasks)
    assert {key: chain.text for key, chain in found.items()} == {key: chain.text for key, chain in alone.items()}
    assert taken == [task.problem_id for task in tasks], "in order"


def test_a_chain_does_not_depend_on_what_is_sampled_beside_it(student: Student) -> None:
    sampling = Sampling(1.0, 1.0, 24)
    together, apart = chains(student, 12, sampling), chains(student, 1, sampling)
    few = chains(student, 5, sampling, [Task("p1", TASKS[1].question, (2,))])
    assert together.keys() == apart.keys()
    assert len(together) == 12
    assert {key: chain.text for key, chain in together.items()} == {key: chain.text for key, chain in apart.items()}
    assert few["p1", 2].text == together["p1", 2].text
    assert len({chain.text for chain in together.values()}) > 6
    assert {chain.finish for chain in together.values()} == {Finish.STOP, Finish.LENGTH}


def test_kept_tasks_hold_their_place_in_the_plan(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed run samples what it lacks in the very windows of an uninterrupted one, and no others."""
    monkeypatch.setattr("nsad_cli.generation.hf.WINDOW", 2)
    sampling = Sampling(1.0, 1.0, 24)
    tasks = [Task(t.problem_id, t.question, t.indices, cached=t.problem_id != "p1") for t in TASKS]
    whole, resumed = chains(student, 3, sampling), chains(student, 3, sampling, tasks)
    assert {("p1", 0), ("p1", 1), ("p1", 2)} <= resumed.keys()
    assert len(resumed) < len(whole)
    assert all(resumed[key] == whole[key] for key in resumed), "bit for bit, log-probabilities too"


def test_every_stop_token_of_the_model_ends_a_chain(tiny_llama: Path) -> None:
    plain = load_student(str(tiny_llama), device="cpu")
    text = chains(plain, 12, Sampling(0.0, 1.0, 8))["p0", 0].text
    token = plain.tokenizer(text, add_special_tokens=False)["input_ids"][0]
    chatty = load_student(str(tiny_llama), device="cpu")
    chatty.model.generation_config.eos_token_id = [chatty.eos_id, token]
    assert chatty.stop_ids == {chatty.eos_id, token}
    chain = chains(chatty, 12, Sampling(0.0, 1.0, 8))["p0", 0]
    assert chain.finish is Finish.STOP
    assert len(chain.logprobs) < 8


def literal(student: Student, question: str, limit: int) -> tuple[torch.Tensor, list[float], torch.Tensor]:
    """A greedy chain by generate(), alone: its tokens, their log-probabilities and the states that predicted them."""
    ids = torch.tensor([student.prompt_ids(question)])
    full = student.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=limit,
        do_sample=False,
        pad_token_id=student.pad_id,
    )
    with torch.no_grad():
        output = student.model(input_ids=full, output_hidden_states=True)
    tokens, at = full[0, ids.shape[1] :], slice(ids.shape[1] - 1, full.shape[1] - 1)
    logprobs = torch.log_softmax(output.logits[0, at].float(), -1).gather(-1, tokens[:, None])
    return tokens, logprobs[:, 0].tolist(), output.hidden_states[-1][0, at]


DECODERS = {
    "llama": {},
    "mistral": {"sliding_window": 7},
    "qwen2": {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1},
    "gemma2": {"sliding_window": 7, "head_dim": 8},
    "gemma3_text": {"sliding_window": 7, "head_dim": 8, "sliding_window_pattern": 2},
    "gpt_neox": {},
    "llama4_text": {"attention_chunk_size": 16, "head_dim": 8, "intermediate_size_mlp": 64, "num_local_experts": 2},
}


@pytest.mark.parametrize("kind", DECODERS)
def test_rows_that_come_and_go_write_what_generate_writes_alone(student: Student, kind: str) -> None:
    """Greedy text, log-probabilities and states, whatever a decoder's attention: full, in windows, in chunks, eager."""
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(student.tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **DECODERS[kind],
    )
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name:
                weight.mul_(4)  # small weights make every token alike
    made = Student(model, student.tokenizer, kind)
    questions = [" + ".join("3456789"[: 1 + i % 7]) + " =" * (i % 3) for i in range(14)]
    wanted = {question: literal(made, question, 40) for question in dict.fromkeys(questions)}
    # The end that comes at the most different times: a token of the literal chains.
    literals = [found[0].tolist() for found in wanted.values()]
    known = sorted({token for tokens in literals for token in tokens})
    lengths = {end: {[*tokens, end].index(end) for tokens in literals} for end in known}
    model.generation_config.eos_token_id = [2, max(lengths, key=lambda end: len(lengths[end]))]
    made = Student(model, student.tokenizer, kind)
    means: dict[tuple[str, int], torch.Tensor] = {}
    tasks = [Task(f"{i:02}", question, (0, 1) if i % 2 else (0,)) for i, question in enumerate(questions)]
    sampler = HFSampler(made, None, None, 5)
    found = list(
        sampler.sample(
            tasks,
            Sampling(0.0, 1.0, 40),
            seed="s",
            on_features=lambda problem, index, mean: means.__setitem__((problem, index), mean),
        )
    )
    assert len(found) == len(means) == 21
    for chain in found:
        tokens, logprobs, states = wanted[questions[int(chain.problem_id)]]
        stops = [i for i, token in enumerate(tokens.tolist()) if token in made.stop_ids]
        n = stops[0] + 1 if stops else len(tokens)
        assert len(chain.logprobs) == n
        assert chain.text == made.tokenizer.decode(tokens[: n - bool(stops)], skip_special_tokens=True)
        assert chain.finish is (Finish.STOP if stops else Finish.LENGTH)
        assert chain.logprobs == pytest.approx(logprobs[:n], abs=2e-4)
        assert torch.allclose(means[chain.problem_id, chain.index], states[:n].mean(0), atol=1e-3)
    assert len({len(chain.logprobs) for chain in found}) > 3, "rows come and go"


def test_greedy_equals_generate(student: Student) -> None:
    ours = chains(student, 3, Sampling(0.0, 1.0, 16), [Task(t.problem_id, t.question, (0,)) for t in TASKS])
    for task in TASKS:
        ids = torch.tensor([student.prompt_ids(task.question)])
        full = student.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=16,
            do_sample=False,
            pad_token_id=student.pad_id,
        )[0, ids.shape[1] :]
        assert ours[task.problem_id, 0].text == student.tokenizer.decode(full, skip_special_tokens=True)


def test_logprobs_are_the_models_own(student: Student) -> None:
    ours = chains(student, 3, Sampling(0.0, 1.0, 12), [Task(t.problem_id, t.question, (0,)) for t in TASKS])
    for task in TASKS:
        ids = torch.tensor([student.prompt_ids(task.question)])
        full = student.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=12,
            do_sample=False,
            pad_token_id=student.pad_id,
        )
        with torch.no_grad():
            logits = student.model(input_ids=full).logits[0, ids.shape[1] - 1 : -1]
        tokens = full[0, ids.shape[1] :]
        expected = torch.log_softmax(logits, -1)[torch.arange(len(tokens)), tokens]
        assert torch.allclose(expected, torch.tensor(ours[task.problem_id, 0].logprobs), atol=1e-5)


def test_offsets_end_where_tokensend(student: Student) -> None:
    for chain in chains(student, 12, Sampling(1.5, 1.0, 40)).values():
        assert len(chain.offsets) == len(chain.logprobs) > 0
        assert list(chain.offsets) == sorted(chain.offsets)
        assert chain.offsets[-1] == len(chain.text)
        assert min(chain.offsets) >= 0
        assert max(chain.logprobs) <= 0


def test_top_p_keeps_the_smallest_set(student: Student) -> None:
    greedy = chains(student, 12, Sampling(0.0, 1.0, 8))
    narrow = chains(student, 12, Sampling(1.0, 1e-6, 8))
    assert {key: chain.text for key, chain in greedy.items()} == {key: chain.text for key, chain in narrow.items()}


def test_it_samples_through_the_adapter_it_was_given(tiny_llama: Path) -> None:
    student = load_student(str(tiny_llama), device="cpu")
    plain = chains(student, 12, Sampling(0.0, 1.0, 8))
    adapters = Adapters(student.model)
    adapters.add_lora("nce", AdapterSettings(dropout=0.0), 0)
    shake(adapters, "nce", 1)
    sample = HFSampler(student, adapters, "nce", 12).sample(TASKS, Sampling(0.0, 1.0, 8), seed="s")
    adapted = {(chain.problem_id, chain.index): chain for chain in sample}
    assert any(adapted[key].text != plain[key].text for key in plain)
    base = HFSampler(student, adapters, None, 12).sample(TASKS, Sampling(0.0, 1.0, 8), seed="s")
    assert {(c.problem_id, c.index): c.text for c in base} == {key: c.text for key, c in plain.items()}


def test_features_are_the_mean_state_that_tokenswere_predicted_from(student: Student) -> None:
    seen: dict[tuple[str, int], torch.Tensor] = {}

    def keep(problem: str, index: int, mean: torch.Tensor) -> None:
        assert seen.setdefault((problem, index), mean) is mean, "once a chain"

    how, decode = Sampling(0.0, 1.0, 24), student.tokenizer.decode
    for chain in HFSampler(student, None, None, 5).sample(TASKS, how, seed="s", on_features=keep):
        mean = seen[chain.problem_id, chain.index]
        ids = student.prompt_ids(next(task.question for task in TASKS if task.problem_id == chain.problem_id))
        full = student.model.generate(
            input_ids=torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids)),
            max_new_tokens=24,
            do_sample=False,
            pad_token_id=student.pad_id,
        )
        assert decode(full[0, len(ids) :], skip_special_tokens=True) == chain.text
        with torch.no_grad():
            states = student.model.model(input_ids=full).last_hidden_state[0, len(ids) - 1 : -1]
        assert len(states) == len(chain.logprobs)
        assert mean.dtype is torch.float32
        assert torch.allclose(mean, states.mean(0), atol=1e-5)
    assert len(seen) == 12


def test_the_caches_argument_is_named_as_the_model_names_it() -> None:
    class Older(torch.nn.Module):
        def forward(self, past_key_values: object = None) -> None: ...

    class Newer(torch.nn.Module):
        def forward(self, past_key_values: object = None, cache: object = None) -> None: ...

    assert cache_argument(Older()) == "past_key_values"
    assert cache_argument(Newer()) == "cache"
