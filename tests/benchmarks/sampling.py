"""The transformers engine against generate(num_return_sequences=n) called problem by problem, and against vLLM itself.

    NSAD_DATA=… python -m tests.benchmarks.sampling [--json] [--problems 10] [--batch-size 64]

NSAD_DATA holds gsm8k/test.jsonl. The untrained SmolLM2 in bfloat16 draws n = 16 chains for each of the same questions,
at temperature 0.7 and at most 256 tokens; generate() is given no top-k, so that all draw from one distribution. The two
run in turn, a problem's worth of chains each. Tokens that chains have are counted, their ends included: not what
generate() computes for chains that have ended. Other work on the machine disturbs seconds of the clock, so rates per
second of processor time are told too. vLLM runs last, in a process of its own, where it is installed (`make test-vllm`
makes an environment that has it).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from nsad_cli.generation.hf import HFSampler
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.models.packing import enable_packing
from nsad_cli.models.student import Student, load_student, resolve
from nsad_cli.problems import load_problems
from tests.benchmarks.report import at_least, close_to_machine, data_path, finish

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

N = 16
SAMPLING = Sampling(temperature=0.7, top_p=1.0, max_new_tokens=256)


class Meter:
    """Tokens and chains, and the seconds that they took, by the clock and of processors."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.seconds = self.cpu = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Count the time that passes inside."""
        seconds, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds += time.perf_counter() - seconds
        self.cpu += time.process_time() - cpu

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return sum(self.lengths) / self.seconds

    @property
    def cpu_rate(self) -> float:
        """Tokens a second of processor time."""
        return sum(self.lengths) / self.cpu

    def told(self) -> dict[str, Any]:
        """What it has measured."""
        cut = sum(n == SAMPLING.max_new_tokens for n in self.lengths)
        return {
            "tokens_per_second": round(self.rate, 1),
            "tokens_per_cpu_second": round(self.cpu_rate, 1),
            "tokens": sum(self.lengths),
            "chains": len(self.lengths),
            "length_quartiles": statistics.quantiles(self.lengths, n=4),
            "cut_off": round(cut / len(self.lengths), 3),
        }


def generate(student: Student, question: str, meter: Meter) -> None:
    """The baseline: transformers' own way to n chains of a problem."""
    ids = torch.tensor([student.prompt_ids(question)])
    with meter.running(), torch.inference_mode():
        full = student.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=SAMPLING.temperature,
            top_k=0,
            top_p=SAMPLING.top_p,
            max_new_tokens=SAMPLING.max_new_tokens,
            num_return_sequences=N,
            pad_token_id=student.pad_id,
        )
    for chain in full[:, ids.shape[1] :].tolist():
        ends = [i for i, token in enumerate(chain) if token in student.stop_ids]
        meter.lengths.append(ends[0] + 1 if ends else len(chain))


def vllm(prompts: Sequence[Sequence[int]]) -> Meter:
    """vLLM's own rate on these prompts, without its start; in a process of its own."""
    source, _ = resolve("smollm2")
    told = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.sampling", "--as-vllm", source],
        check=False,
        input=json.dumps(list(prompts)),
        capture_output=True,
        text=True,
        env={"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_LOGGING_LEVEL": "ERROR", **os.environ},
    )
    if told.returncode:
        raise SystemExit(f"vLLM failed:\n{told.stderr[-2000:]}")
    meter = Meter()
    meter.lengths, meter.seconds, meter.cpu = json.loads(told.stdout.splitlines()[-1])
    return meter


def as_vllm(source: str) -> None:
    """Be the process that runs vLLM: prompts on stdin, lengths and seconds on stdout."""
    from vllm import LLM, SamplingParams

    prompts = [{"prompt_token_ids": ids} for ids in json.load(sys.stdin)]
    model = LLM(source, dtype="bfloat16", max_model_len=1024, seed=0)
    how = {"temperature": SAMPLING.temperature, "top_p": SAMPLING.top_p, "max_tokens": SAMPLING.max_new_tokens}
    model.generate(prompts[:1], SamplingParams(**{**how, "max_tokens": 4}), use_tqdm=False)
    cpu, started = _processor_seconds(), time.perf_counter()
    replies = model.generate(prompts, SamplingParams(n=N, **how), use_tqdm=False)
    seconds = time.perf_counter() - started
    lengths = [len(choice.token_ids) for reply in replies for choice in reply.outputs]
    print(json.dumps([lengths, seconds, _processor_seconds() - cpu]))


def _processor_seconds() -> float:
    """Of this process and its children, while they run too."""
    import psutil

    here = psutil.Process()
    times = [process.cpu_times() for process in [here, *here.children(recursive=True)]]
    return sum(item.user + item.system for item in times)


def measure(count: int, batch_size: int) -> dict[str, Any]:
    """Tokens a second of generate() and of ours, in turn, then of vLLM."""
    problems = load_problems(f"gsm8k:test@{data_path('gsm8k/test.jsonl')}")
    student = load_student("smollm2", device="cpu", dtype="bfloat16")
    problems = random.Random(0).sample(problems, count)
    tasks = [Task(problem.id, problem.question, tuple(range(N))) for problem in problems]
    sampler = HFSampler(student, None, None, batch_size)
    list(sampler.sample(tasks[:1], Sampling(0.7, 1.0, 4), seed="warm"))
    torch.manual_seed(0)
    baseline, ours = Meter(), Meter()
    stream = sampler.sample(tasks, SAMPLING, seed="benchmark")
    for done, problem in enumerate(problems, 1):
        student.model.set_attn_implementation("sdpa")  # the baseline's is transformers' own
        generate(student, problem.question, baseline)
        enable_packing(student.model)  # ours
        with ours.running():
            ours.lengths += [len(chain.logprobs) for chain in islice(stream, N)]
        print(f"{done} of {count}: {baseline.rate:.0f} and {ours.rate:.0f} tokens/s", file=sys.stderr)
    weights = sum(p.numel() for p in student.model.parameters())
    share = close_to_machine(2 * weights * ours.rate, student.model.device, dtype=torch.bfloat16)
    figures = {
        "over_generate": at_least(ours.rate / baseline.rate, 1.5),
        "over_generate_per_cpu_second": at_least(ours.cpu_rate / baseline.cpu_rate, None),
        "share_of_bfloat16_matmul_rate": at_least(share, None),
    }
    measured = {"generate": baseline.told(), "ours": ours.told()}
    if importlib.util.find_spec("vllm"):
        theirs = vllm([student.prompt_ids(problem.question) for problem in problems])
        figures["over_vllm"] = at_least(ours.rate / theirs.rate, 1.0)
        measured["vllm"] = theirs.told()
    conditions = {
        "model": "SmolLM2-135M-Instruct, untrained, bfloat16",
        "n": N,
        "problems": count,
        "batch_size": batch_size,
        "prompt_tokens": statistics.mean(len(student.prompt_ids(problem.question)) for problem in problems),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "measured": measured,
    }
    return {"figures": figures, "conditions": conditions}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sampling")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--problems", type=int, default=10, help="questions, each with 16 chains")
    parser.add_argument("--batch-size", type=int, default=64, help="rows that our engine writes at once")
    parser.add_argument("--as-vllm", metavar="MODEL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.as_vllm:
        as_vllm(arguments.as_vllm)
    else:
        finish(measure(arguments.problems, arguments.batch_size), arguments.json)
