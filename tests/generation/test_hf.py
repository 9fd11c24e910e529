"""The transformers engine: reproducible, equal to generate() when greedy, and honest about its tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nsad_cli.generation.hf import HFSampler
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.nat.adapters import Adapters, AdapterSettings
from nsad_cli.students import Student, load_student
from nsad_cli.types import Chain, Finish
from tests.nat.test_layer import shake

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


def test_a_chain_does_not_depend_on_what_is_sampled_beside_it(student: Student) -> None:
    sampling = Sampling(1.0, 1.0, 24)
    together, apart = chains(student, 12, sampling), chains(student, 1, sampling)
    few = chains(student, 5, sampling, [Task("p1", TASKS[1].question, (2,))])
    assert together.keys() == apart.keys() and len(together) == 12
    assert {key: chain.text for key, chain in together.items()} == {key: chain.text for key, chain in apart.items()}
    assert few["p1", 2].text == together["p1", 2].text
    assert len({chain.text for chain in together.values()}) > 6
    assert {chain.finish for chain in together.values()} == {Finish.STOP, Finish.LENGTH}


def test_kept_tasks_hold_their_place_in_the_plan(student: Student) -> None:
    """A resumed run samples what it lacks in the very batches of an uninterrupted one, and no others."""
    sampling = Sampling(1.0, 1.0, 24)
    tasks = [Task(t.problem_id, t.question, t.indices, kept=t.problem_id != "p1") for t in TASKS]
    whole, resumed = chains(student, 4, sampling), chains(student, 4, sampling, tasks)
    assert {("p1", 0), ("p1", 1), ("p1", 2)} <= resumed.keys() and len(resumed) < len(whole)
    assert all(resumed[key] == whole[key] for key in resumed), "bit for bit, log-probabilities too"


def test_every_stop_token_of_the_model_ends_a_chain(tiny_llama: Path) -> None:
    plain = load_student(str(tiny_llama), device="cpu")
    text = chains(plain, 12, Sampling(0.0, 1.0, 8))["p0", 0].text
    token = plain.tokenizer(text, add_special_tokens=False)["input_ids"][0]
    chatty = load_student(str(tiny_llama), device="cpu")
    chatty.model.generation_config.eos_token_id = [chatty.eos_id, token]
    assert chatty.stop_ids == {chatty.eos_id, token}
    chain = chains(chatty, 12, Sampling(0.0, 1.0, 8))["p0", 0]
    assert chain.finish is Finish.STOP and len(chain.logprobs) < 8


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


def test_offsets_end_where_tokens_end(student: Student) -> None:
    for chain in chains(student, 12, Sampling(1.5, 1.0, 40)).values():
        assert len(chain.offsets) == len(chain.logprobs) > 0
        assert list(chain.offsets) == sorted(chain.offsets) and chain.offsets[-1] == len(chain.text)
        assert min(chain.offsets) >= 0 and max(chain.logprobs) <= 0


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


def test_features_are_the_mean_state_that_tokens_were_predicted_from(student: Student) -> None:
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
        assert len(states) == len(chain.logprobs) and mean.dtype is torch.float32
        assert torch.allclose(mean, states.mean(0), atol=1e-5)
    assert len(seen) == 12
