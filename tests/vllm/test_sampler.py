"""The vLLM engine beside the transformers engine, on SmolLM2 with a LoRA: one start of vLLM for all."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import psutil
import pytest
import torch

from nsad_cli.config.schema import Demonstration
from nsad_cli.generation.hf import HFSampler
from nsad_cli.generation.model_folders import max_lora_rank
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.generation.vllm import VllmSampler
from nsad_cli.generation.vllm_process import ModelSettings
from nsad_cli.models.nat.adapter_files import save_adapter
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.nat.config import AdapterSettings
from nsad_cli.models.student import load_student
from nsad_cli.types import Chain, Finish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GREEDY = Sampling(0.0, 1.0, 32)
QUESTIONS = ("What is 3 + 4?", "Ana has 5 cups and buys 2 more. How many has she?", "Ben had 9 pens and lost 3.")
Chains = dict[tuple[str, int], Chain]


def tasks(*indices: int) -> list[Task]:
    return [Task(f"p{i}", question, indices) for i, question in enumerate(QUESTIONS)]


def by_key(chains: Iterator[Chain]) -> Chains:
    return {(chain.problem_id, chain.index): chain for chain in chains}


@pytest.fixture(scope="module")
def engines(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HFSampler, VllmSampler]]:
    """Both engines on the same student and LoRA, which says other things than the base."""
    student = load_student("smollm2", device="cpu", dtype="float32")
    adapters = Adapters(student.model)
    adapters.add_lora("nce", AdapterSettings(targets="all-linear", dropout=0.0), 0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _, parameter in adapters.parameters_of("nce"):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator) * parameter.shape[1] ** -0.5)
    folder = tmp_path_factory.mktemp("lora")
    save_adapter(adapters, "nce", folder)
    light = load_student("smollm2", device="cpu", dtype="float32", weights=False)
    there = ModelSettings(str(model), dtype="float32", lora=str(folder), lora_rank=max_lora_rank(folder))
    ours = VllmSampler(light, there)
    yield HFSampler(student, adapters, "nce"), ours
    children = psutil.Process().children(recursive=True)
    ours.close()
    assert children
    assert not psutil.wait_procs(children, timeout=30)[1]


def same(ours: Chains, theirs: Chains) -> None:
    assert ours.keys() == theirs.keys()
    for key, chain in ours.items():
        other = theirs[key]
        assert (chain.text, chain.offsets, chain.finish) == (other.text, other.offsets, other.finish)
        assert chain.logprobs == pytest.approx(other.logprobs, abs=1e-3)


def test_greedy_chains_are_the_same_records(engines: tuple[HFSampler, VllmSampler]) -> None:
    hf, ours = engines
    theirs = by_key(hf.sample(tasks(-1), GREEDY, seed="s"))
    told: list[int] = []
    found = by_key(ours.sample(tasks(-1), GREEDY, seed="s", on_tokens=told.append))
    same(found, theirs)
    assert sum(told) == sum(len(chain.logprobs) for chain in found.values())
    base = by_key(HFSampler(hf.student, hf.adapters, None).sample(tasks(-1), GREEDY, seed="s"))
    assert any(chain.text != found[key].text for key, chain in base.items()), (
        "a LoRA that changes nothing shows nothing"
    )


def test_a_chain_ends_at_the_students_own_ends(engines: tuple[HFSampler, VllmSampler]) -> None:
    """Some token that the model writes is made an end, and a text that it writes a demonstration's next question."""
    hf, ours = engines
    whole = by_key(hf.sample(tasks(-1), GREEDY, seed="s"))["p1", -1]
    tokens = hf.student.tokenizer(whole.text, add_special_tokens=False)["input_ids"]
    plain = ours.student
    shown = (Demonstration(question="1 + 1?", solution="2"),)
    for change in ({"stop_ids": frozenset([tokens[4]])}, {"stop_texts": (whole.text[6:9],)}):
        theirs, light = (dataclasses.replace(student, demonstrations=shown) for student in (hf.student, plain))
        for student in (theirs, light):
            student.__dict__.update(change)
        ours.student = light
        try:
            found = by_key(ours.sample(tasks(-1), GREEDY, seed="s"))
        finally:
            ours.student = plain
        same(found, by_key(HFSampler(theirs, hf.adapters, "nce").sample(tasks(-1), GREEDY, seed="s")))
        assert Finish.STOP in {chain.finish for chain in found.values()}


def test_a_chain_follows_from_its_seed(engines: tuple[HFSampler, VllmSampler]) -> None:
    ours = engines[1]
    warm = Sampling(0.8, 0.9, 16)
    together = by_key(ours.sample(tasks(0, 1, 2), warm, seed="s"))
    alone = by_key(ours.sample([Task("p1", QUESTIONS[1], (2,))], warm, seed="s"))
    assert alone["p1", 2].text == together["p1", 2].text
    assert len({chain.text for chain in together.values()}) > 5
    other = by_key(ours.sample(tasks(0, 1, 2), warm, seed="t"))
    assert any(other[key].text != together[key].text for key in together)
    kept = [dataclasses.replace(task, cached=task.problem_id != "p2") for task in tasks(0)]
    assert set(by_key(ours.sample(kept, warm, seed="s"))) == {("p2", 0)}


def test_logprobs_are_of_the_untempered_distribution(engines: tuple[HFSampler, VllmSampler]) -> None:
    hf, ours = engines
    assert hf.adapters is not None
    seen = 0
    for chain in ours.sample(tasks(0, 1, 2, 3), Sampling(1.2, 1.0, 6), seed="s"):
        assert len(chain.offsets) == len(chain.logprobs) > 0
        assert chain.offsets[-1] == len(chain.text)
        prompt = hf.student.prompt_ids(QUESTIONS[int(chain.problem_id[1])])
        written = hf.student.tokenizer(chain.text, add_special_tokens=False)["input_ids"]
        if len(written) != len(chain.logprobs):
            continue  # the model cut its text into other tokens than the tokenizer does
        with torch.no_grad(), hf.adapters.use("nce"):
            logits = hf.adapters.model(input_ids=torch.tensor([[*prompt, *written]])).logits[0, len(prompt) - 1 : -1]
        expected = torch.log_softmax(logits, -1).gather(1, torch.tensor(written)[:, None])[:, 0]
        assert chain.logprobs == pytest.approx(expected.tolist(), abs=1e-3)
        seen += 1
    assert seen


def test_what_was_not_waited_for_does_not_come_later(engines: tuple[HFSampler, VllmSampler]) -> None:
    ours = engines[1]
    next(iter(ours.sample(tasks(0, 1), Sampling(0.8, 1.0, 8), seed="s")))
    assert set(by_key(ours.sample(tasks(-1), Sampling(0.0, 1.0, 4), seed="s"))) == {(f"p{i}", -1) for i in range(3)}
