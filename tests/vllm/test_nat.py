"""NAT through nsad's plugin in a real, stock vLLM: greedy answers and log-probabilities are those of transformers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from nsad_cli.generation.model_folders import save_nat
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.nat.config import AdapterSettings
from nsad_cli.models.student import Student, load_student
from tests.helpers.nat_models import shake
from tests.helpers.vllm_commands import environment

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
}
PROMPTS = [[5, 6, 7], [9, 10, 11, 12, 13, 14, 15], [200]]
TOKENS = 10
Answers = list[tuple[list[int], list[float]]]


@dataclass
class Case:
    """A model with an adapter on all or some of its layers."""

    make: Callable[[], Any]
    settings: dict[str, Any]


MANY_HEADS = {key: value for key, value in SHAPE.items() if key != "num_key_value_heads"}
CASES = {
    "llama, q and v": Case(lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)), {}),
    "llama with biases, every layer, a unit on some": Case(
        lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, attention_bias=True, mlp_bias=True)),
        {"targets": "all-linear", "unit_targets": ("q_proj", "gate_proj", "down_proj")},
    ),
    "qwen2, every layer": Case(lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE)), {"targets": "all-linear"}),
    "qwen2, attention, identity": Case(
        lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE)),
        {"targets": ("q_proj", "k_proj", "v_proj", "o_proj"), "unit_value": "identity"},
    ),
    "llama, normalised deltas, only subtracted": Case(
        lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)), {"unit_value": "delta", "unit_gate": "subtract"}
    ),
    "gpt-neox, fused head by head": Case(
        lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**MANY_HEADS)), {"targets": "all-linear"}
    ),
    "phi3, fused by its authors": Case(lambda: Phi3ForCausalLM(Phi3Config(**SHAPE)), {"targets": "all-linear"}),
}
REFUSED = {
    "a tensor too few": ("llama, q and v", 1, "27 of 28"),
    "another base": ("llama, q and v", 1, "is not the projection"),
    "another version": ("llama, q and v", 1, "has format version 0"),
    "several devices": ("llama, q and v", 2, "tensor_parallel_size is 2"),
}
"""What is spoilt, of which case, on how many devices, and what is told."""


def trained_looking(model: Any, **settings: Any) -> Adapters:
    """A NAT adapter whose weights are random, beside a negative one; biases of the base are, too."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.normal_(0, 0.3 if name.endswith("bias") else 0.15)
    chosen = AdapterSettings(**{"dropout": 0.0, "unit_size": 16, **settings})
    adapters = Adapters(model.eval())
    adapters.add_lora("negative", chosen, 0)
    adapters.add_nat("nat", chosen, "negative", 1)
    for seed, name in enumerate(("negative", "nat")):
        shake(adapters, name, seed)
    return adapters


def by_transformers(adapters: Adapters, name: str | None) -> Answers:
    """Greedy answers, each token from the whole text before it."""
    found = []
    for prompt in PROMPTS:
        ids, logprobs = list(prompt), []
        for _ in range(TOKENS):
            with torch.no_grad(), adapters.use(name):
                chances = torch.log_softmax(adapters.model(input_ids=torch.tensor([ids])).logits[0, -1], -1)
            ids.append(int(chances.argmax()))
            logprobs.append(float(chances.max()))
        found.append((ids[len(prompt) :], logprobs))
    return found


@dataclass
class Result:
    """What both engines say, and transformers of the bare base."""

    ours: dict[str, Any]
    theirs: Answers
    base: Answers


@pytest.fixture(scope="module")
def results(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """Every case and what must be refused, by one process."""
    tokenizer = load_student(str(tiny_llama), weights=False).tokenizer
    jobs: dict[str, dict[str, Any]] = {}
    expected: dict[str, tuple[Answers, Answers]] = {}
    for case, how in CASES.items():
        torch.manual_seed(0)
        adapters = trained_looking(how.make(), **how.settings)
        expected[case] = by_transformers(adapters, "nat"), by_transformers(adapters, None)
        folder = tmp_path_factory.mktemp("nat")
        save_nat(Student(adapters.base, tokenizer, case), adapters, "nat", folder, TOKENS)
        jobs[case] = {"model": str(folder), "prompts": PROMPTS, "tokens": TOKENS, "devices": 1}
    for name, (case, devices, _) in REFUSED.items():
        folder = tmp_path_factory.mktemp("refused")
        spoil(name, Path(jobs[case]["model"]), folder)
        jobs[name] = {**jobs[case], "model": str(folder), "devices": devices}
    command = [sys.executable, "-m", "tests.helpers.vllm_greedy"]
    done = subprocess.run(
        command,
        check=False,
        input=json.dumps(list(jobs.values())),
        env=environment(tmp_path_factory.mktemp("home")),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    replies = dict(zip(jobs, json.loads(done.stdout), strict=True))
    return {name: Result(reply, *expected.get(name, ([], []))) for name, reply in replies.items()}


def spoil(how: str, good: Path, folder: Path) -> None:
    """Copy a folder with one thing wrong in it."""
    from safetensors.torch import load_file, save_file

    for path in good.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = load_file(folder / "model.safetensors")
    if how == "a tensor too few":
        del weights["model.layers.1.self_attn.v_proj.nsad_up"]
    if how == "another base":
        weights["model.layers.1.self_attn.q_proj.weight"] = weights["model.layers.1.self_attn.q_proj.weight"].flip(0)
    save_file({key: value.contiguous() for key, value in weights.items()}, folder / "model.safetensors")
    if how == "another version":
        config = json.loads((folder / "config.json").read_text())
        config["quantization_config"]["version"] = 0
        (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("case", CASES)
def test_vllm_says_what_transformers_says(case: str, results: dict[str, Result]) -> None:
    result = results[case]
    assert "error" not in result.ours, result.ours["error"]
    for reply, (tokens, logprobs) in zip(result.ours["answers"], result.theirs, strict=True):
        assert reply["tokens"] == tokens
        assert reply["logprobs"] == pytest.approx(logprobs, abs=1e-3)
    assert result.theirs != result.base, "an adapter that changes nothing shows nothing"


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_right_is_refused(name: str, results: dict[str, Result]) -> None:
    assert REFUSED[name][2] in results[name].ours.get("error", ""), results[name].ours
