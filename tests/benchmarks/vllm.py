"""vLLM's rate with our engine around it, and with NAT in it, beside raw vLLM on the plain base; in vLLM's environment.

    python -m tests.benchmarks.vllm [--json] [--rounds 5] [--chains 64] [--tokens 64]

All run at once, each with vLLM in a process of its own, and take turns, so that whatever else the machine does meets
them alike; a figure is the median over rounds of a rate divided by raw vLLM's of the same round. Every chain has the
same length. Raw vLLM is `LLM.generate` without seeds or log-probabilities; our engine gives both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nsad_cli.generation.model_folders import save_nat
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.generation.vllm import VllmSampler
from nsad_cli.generation.vllm_process import ModelSettings
from nsad_cli.generation.vllm_worker import ON_CPU
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.nat.config import AdapterSettings
from nsad_cli.models.student import load_student, smollm2_folder
from nsad_cli.problems.arithmetic import problems
from tests.benchmarks.report import at_least, finish

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED = 4
"""Chains of one problem."""
TEMPERATURE = 0.7


def serve(model: str) -> None:
    """Raw vLLM: a line of JSON in (prompts, tokens), a line out (seconds), until standard input ends."""
    from vllm import LLM, SamplingParams
    from vllm.platforms import current_platform

    more = ON_CPU if current_platform.device_type == "cpu" else {}
    llm = LLM(model, dtype="float32", use_tqdm_on_load=False, **more)
    for line in sys.stdin:
        job = json.loads(line)
        params = SamplingParams(temperature=TEMPERATURE, max_tokens=job["tokens"], ignore_eos=True)
        prompts = [{"prompt_token_ids": prompt} for prompt in job["prompts"]]
        started = time.perf_counter()
        replies = llm.generate(prompts, params, use_tqdm=False)
        seconds = time.perf_counter() - started
        assert sum(len(reply.outputs[0].token_ids) for reply in replies) == job["tokens"] * len(prompts)
        print(f"seconds {seconds}", flush=True)


class Raw:
    """A process of raw vLLM, starting."""

    def __init__(self, model: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.vllm", "--serve", str(model)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def _answer(self, word: str) -> str:
        assert self._process.stdout
        for line in self._process.stdout:  # vLLM prints there too
            if line.startswith(word):
                return line.removeprefix(word)
        raise RuntimeError("raw vLLM died")

    def seconds(self, prompts: list[list[int]], tokens: int) -> float:
        """How long it takes."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"prompts": prompts, "tokens": tokens}) + "\n")
        self._process.stdin.flush()
        return float(self._answer("seconds"))


def nat_folder(folder: Path, targets: Any) -> Path:
    """SmolLM2 with a random NAT adapter: what its weights are does not change the time."""
    student = load_student("smollm2", device="cpu", dtype="float32")
    adapters = Adapters(student.model)
    settings = AdapterSettings(targets=targets)
    adapters.add_lora("negative", settings, 0)
    adapters.add_nat("nat", settings, "negative", 1)
    for name in ("negative", "nat"):
        for _, parameter in adapters.parameters_of(name):
            torch.nn.init.normal_(parameter, std=0.02)
    save_nat(student, adapters, "nat", folder, 64)
    return folder


def measure(rounds: int, chains: int, tokens: int) -> dict[str, Any]:
    """Every engine in turn, several times."""
    base = smollm2_folder()
    student = load_student("smollm2", device="cpu", dtype="float32", weights=False)
    student.__dict__["stop_ids"] = frozenset()  # every chain has the same length
    tasks = [Task(p.id, p.question, tuple(range(SHARED))) for p in problems("test", chains // SHARED)]
    prompts = [student.prompt_ids(task.question) for task in tasks for _ in task.indices]
    sampler = VllmSampler(student, ModelSettings(str(base), dtype="float32"))

    def ours() -> float:
        started = time.perf_counter()
        found = list(sampler.sample(tasks, Sampling(TEMPERATURE, 1.0, tokens), seed=str(started)))
        seconds = time.perf_counter() - started
        assert sum(len(chain.logprobs) for chain in found) == tokens * len(prompts)
        return seconds

    with tempfile.TemporaryDirectory() as folder:
        engines: dict[str, Callable[[], float]] = {"raw": raw(base, prompts, tokens), "engine": ours}
        for name, targets in {"nat_q_v": ("q_proj", "v_proj"), "nat_all_linear": "all-linear"}.items():
            engines[name] = raw(nat_folder(Path(folder) / name, targets), prompts, tokens)
        seconds: dict[str, list[float]] = {name: [] for name in engines}
        for turn in range(rounds + 1):
            for name, run in engines.items():
                print(f"round {turn}, {name} …", file=sys.stderr)
                seconds[name].append(run())
    sampler.close()
    later = {name: values[1:] for name, values in seconds.items()}  # the first warms up

    def ratio(name: str) -> float:
        return statistics.median(one / other for one, other in zip(later["raw"], later[name], strict=True))

    total = tokens * len(prompts)
    rates = {name: [round(total / value, 1) for value in values] for name, values in later.items()}
    figures = {
        "engine_to_raw": at_least(ratio("engine"), 0.95),
        "nat_q_v_to_base": at_least(ratio("nat_q_v"), None),
        "nat_all_linear_to_base": at_least(ratio("nat_all_linear"), None),
    }
    conditions = {"rounds": rounds, "chains": len(prompts), "tokens": tokens, "tokens_per_second": rates}
    return {"figures": figures, "conditions": conditions}


def raw(model: Path, prompts: list[list[int]], tokens: int) -> Callable[[], float]:
    """How to time raw vLLM on a folder."""
    process = Raw(model)
    return lambda: process.seconds(prompts, tokens)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.vllm")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chains", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
    else:
        finish(measure(options.rounds, options.chains, options.tokens), options.json)
