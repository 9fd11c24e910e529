"""vLLM's rate with our engine around it, and with NAT or a LoRA in it, beside raw vLLM; in vLLM's environment.

    python -m tests.benchmarks.vllm [--json] [--rounds 5] [--chains 64] [--tokens 64] [--parts engine q_v all_linear]

Four at most run at once, each with vLLM in a process of its own, and take turns, so that whatever else the machine does
meets them alike; a figure is the median over rounds of a rate divided by another's of the same round. Every chain has
the same length. Raw vLLM is `LLM.generate` without seeds or log-probabilities; our engine gives both. A process takes
about 3 GB; VLLM_CPU_KVCACHE_SPACE=1 suffices for the default's chains.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nsad_cli.generation.model_folders import save_nat
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.generation.vllm import VllmSampler
from nsad_cli.generation.vllm_process import ModelSettings
from nsad_cli.generation.vllm_worker import ON_CPU
from nsad_cli.models.nat.adapter_files import save_adapter
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.nat.config import AdapterSettings
from nsad_cli.models.student import load_student, smollm2_folder
from nsad_cli.problems.arithmetic import problems
from tests.benchmarks.report import at_least, finish

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SHARED = 4
"""Chains of one problem."""
TEMPERATURE = 0.7


def serve(model: str, lora: str | None) -> None:
    """Raw vLLM: a line of JSON in (prompts, tokens), a line out (seconds), until standard input ends."""
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest
    from vllm.platforms import current_platform

    more: dict[str, Any] = dict(ON_CPU if current_platform.device_type == "cpu" else {})
    request = LoRARequest("lora", 1, lora) if lora else None
    if lora:
        more |= {"enable_lora": True, "max_lora_rank": 8}
    llm = LLM(model, dtype="float32", use_tqdm_on_load=False, **more)
    for line in sys.stdin:
        job = json.loads(line)
        params = SamplingParams(temperature=TEMPERATURE, max_tokens=job["tokens"], ignore_eos=True)
        prompts = [{"prompt_token_ids": prompt} for prompt in job["prompts"]]
        started = time.perf_counter()
        replies = llm.generate(prompts, params, use_tqdm=False, lora_request=request)
        seconds = time.perf_counter() - started
        assert sum(len(reply.outputs[0].token_ids) for reply in replies) == job["tokens"] * len(prompts)
        print(f"seconds {seconds}", flush=True)


class Raw:
    """A process of raw vLLM, starting."""

    def __init__(self, model: Path, lora: Path | None) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.benchmarks.vllm", "--serve", str(model)),
                *(("--lora", str(lora)) if lora else ()),
            ],
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

    def close(self) -> None:
        """End it, and free its memory."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def adapter_folders(folder: Path, targets: Any) -> tuple[Path, Path]:
    """A random LoRA, and SmolLM2 with a random NAT adapter: what their weights are does not change the time."""
    student = load_student("smollm2", device="cpu", dtype="float32")
    adapters = Adapters(student.model)
    settings = AdapterSettings(targets=targets)
    adapters.add_lora("negative", settings, 0)
    adapters.add_nat("nat", settings, "negative", 1)
    for name in ("negative", "nat"):
        for _, parameter in adapters.parameters_of(name):
            torch.nn.init.normal_(parameter, std=0.02)
    save_adapter(adapters, "negative", folder / "lora")
    save_nat(student, adapters, "nat", folder / "nat", 64)  # removes the adapters
    return folder / "lora", folder / "nat"


TARGETS: dict[str, Any] = {"q_v": ("q_proj", "v_proj"), "all_linear": "all-linear"}
Seconds = dict[str, list[float]]


def taking_turns(engines: Mapping[str, Callable[[], float]], rounds: int) -> Seconds:
    """Every engine in turn, several times; the first round warms up."""
    seconds: Seconds = {name: [] for name in engines}
    for turn in range(rounds + 1):
        for name, run in engines.items():
            seconds[name].append(run())
            print(f"round {turn}, {name}: {seconds[name][-1]:.2f} s", file=sys.stderr, flush=True)
    return {name: values[1:] for name, values in seconds.items()}


def ratio(seconds: Seconds, name: str, other: str) -> float:
    """The rate of one as a part of the other's."""
    return statistics.median(b / a for a, b in zip(seconds[name], seconds[other], strict=True))


def measure(rounds: int, chains: int, tokens: int, parts: Sequence[str]) -> dict[str, Any]:
    """Our engine beside raw vLLM; NAT and a LoRA on the same layers beside raw vLLM."""
    base = smollm2_folder()
    student = load_student("smollm2", device="cpu", dtype="float32", weights=False)
    student.__dict__["stop_ids"] = frozenset()  # every chain has the same length
    tasks = [Task(p.id, p.question, tuple(range(SHARED))) for p in problems("test", chains // SHARED)]
    prompts = [student.prompt_ids(task.question) for task in tasks for _ in task.indices]
    total = tokens * len(prompts)
    figures: dict[str, Any] = {}
    rates: dict[str, Any] = {}

    def keep(part: str, seconds: Seconds) -> None:
        for name, values in seconds.items():
            rates[f"{part}.{name}"] = [round(total / value, 1) for value in values]

    if "engine" in parts:
        sampler, plain = VllmSampler(student, ModelSettings(str(base), dtype="float32")), Raw(base, None)

        def ours() -> float:
            started = time.perf_counter()
            found = list(sampler.sample(tasks, Sampling(TEMPERATURE, 1.0, tokens), seed=str(started)))
            seconds = time.perf_counter() - started
            assert sum(len(chain.logprobs) for chain in found) == total
            return seconds

        seconds = taking_turns({"raw": lambda: plain.seconds(prompts, tokens), "engine": ours}, rounds)
        sampler.close()
        plain.close()
        keep("engine", seconds)
        figures["engine_to_raw"] = at_least(ratio(seconds, "engine", "raw"), 0.95)
    for part, goal in {"q_v": 0.9, "all_linear": 0.8}.items():
        if part not in parts:
            continue
        with tempfile.TemporaryDirectory() as folder:
            lora, nat = adapter_folders(Path(folder), TARGETS[part])
            engines = {"raw": Raw(base, None), "lora": Raw(base, lora), "nat": Raw(nat, None)}
            timed = {name: partial(engine.seconds, prompts, tokens) for name, engine in engines.items()}
            seconds = taking_turns(timed, rounds)
            for engine in engines.values():
                engine.close()
        keep(part, seconds)
        figures[f"nat_{part}_to_lora"] = at_least(ratio(seconds, "nat", "lora"), goal)
        figures[f"nat_{part}_to_base"] = at_least(ratio(seconds, "nat", "raw"), None)
    conditions = {"rounds": rounds, "chains": len(prompts), "tokens": tokens, "tokens_per_second": rates}
    return {"figures": figures, "conditions": conditions}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.vllm")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chains", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--parts", nargs="+", default=["engine", *TARGETS], choices=["engine", *TARGETS])
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--lora", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.lora)
    else:
        finish(measure(options.rounds, options.chains, options.tokens, options.parts), options.json)
