"""NAT's training loop against a literal port of the reference's, on GPT-3.5's real lengths and SmolLM2.

    NSAD_DATA=… python -m tests.benchmarks.train_throughput [--json] [--rounds 5]

NSAD_DATA holds tdg/GPT3.5-turbo-MATH. Both loops get the same micro-batches in turn, in one process; real tokens are
those that are not padding, a shared prompt counted once for each of its rationales. A forward and a backward pass of a
micro-batch is measured, without the optimizer. The share of the machine's matmul rate counts 4 floating-point
operations for each weight of the base and real token (forward, and backward to the inputs: the base is frozen). Ours in
bfloat16 is measured in turn with the others, on a base of its own; its share is of the bfloat16 rate at the size of
SmolLM2's matrices, [tokens, 576] · [576, 1536].
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nsad_cli.config.schema import TeacherConfig
from nsad_cli.models.nat.layer import NatLinear, NatVariant
from nsad_cli.models.packing import Example
from nsad_cli.models.student import Student, load_student
from nsad_cli.teachers import make_teacher
from nsad_cli.training.likelihood import CompletionObjective
from tests.benchmarks.nat_layer import LiteralVariant
from tests.benchmarks.reference import PAPER, likelihood_step, padded, trio
from tests.benchmarks.report import at_least, close_to_machine, finish, matmul_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_CHARS = 1600
MICRO_BATCH = 4
SAMPLE = 400
DTYPES = (torch.float32, torch.bfloat16)


def real_examples(student: Student, max_chars: int = MAX_CHARS) -> list[list[Example]]:
    """Rationales under the reference's length limit, problem by problem, of a seeded sample of problems."""
    folder = Path(os.environ["NSAD_DATA"]) / "tdg" / "GPT3.5-turbo-MATH"
    teacher: Any = make_teacher(f"tdg:{folder}", TeacherConfig())
    problems = random.Random(0).sample(teacher.problems(), SAMPLE)
    groups = []
    for problem in problems:
        prompt = tuple(student.prompt_ids(problem.question))
        texts = [t for t in teacher._rationales[problem.id] if len(problem.question) + len(t) < max_chars]
        if len(texts) >= MICRO_BATCH:
            groups.append([Example(prompt, tuple(student.completion_ids(text))) for text in texts])
    return groups


def measure(rounds: int) -> dict[str, Any]:
    """Real tokens a second of the literal loop, ours, and ours with shared prompts."""
    student = load_student("smollm2", device="cpu", dtype="float32")
    half = load_student("smollm2", device="cpu", dtype="bfloat16")
    groups = real_examples(student)
    longest = max(len(example) for group in groups for example in group)
    random_ = random.Random(1)
    mixed = [random_.choice(group) for group in groups]
    adapters, half_adapters = (trio(loaded.model, ("negative", "nat")) for loaded in (student, half))
    layers = [module for module in adapters.model.modules() if isinstance(module, NatLinear)]
    objectives = {share: CompletionObjective(adapters, "nat", share=share) for share in (False, True)}
    half_objective = CompletionObjective(half_adapters, "nat")
    adapters.model.train()
    half_adapters.model.train()

    def form(variant: NatVariant) -> None:
        for layer in layers:
            layer.lora_variant["nat"] = variant

    def literal(examples: Sequence[Example]) -> None:
        form(LiteralVariant())
        likelihood_step(adapters, "nat", *padded(examples, longest, student.pad_id))

    def ours(examples: Sequence[Example], objective: CompletionObjective) -> None:
        form(NatVariant())
        for batch in objective.packs(examples, 4096):
            objective.loss(batch).total.backward()

    def batch(i: int) -> list[Example]:
        return mixed[MICRO_BATCH * i : MICRO_BATCH * (i + 1)]

    cases: dict[str, tuple[Callable[[Sequence[Example]], None], Callable[[int], list[Example]]]] = {
        "literal": (literal, batch),
        "packed": (lambda e: ours(e, objectives[False]), batch),
        "shared": (lambda e: ours(e, objectives[True]), lambda i: groups[i][:MICRO_BATCH]),
        "bfloat16": (lambda e: ours(e, half_objective), batch),
    }
    speeds: dict[str, list[float]] = {name: [] for name in cases}
    for i in range(rounds + 1):
        for name, (step, choose) in cases.items():
            print(f"round {i} {name} …", file=sys.stderr)
            examples = choose(i)
            for trained in (adapters, half_adapters):
                trained.model.zero_grad(set_to_none=True)
            started = time.perf_counter()
            step(examples)
            if i:
                speeds[name].append(sum(map(len, examples)) / (time.perf_counter() - started))
    median = {name: statistics.median(values) for name, values in speeds.items()}
    weights = sum(p.numel() for p in student.model.parameters() if not p.requires_grad)
    share = close_to_machine(4 * weights * median["packed"], student.model.device)
    half_share = 4 * weights * median["bfloat16"] / matmul_rate(760, 576, 1536, torch.bfloat16)
    lengths = [len(example) for group in groups for example in group]
    return {
        "figures": {
            "packed_over_literal": at_least(median["packed"] / median["literal"], 4),
            "shared_prompts_over_literal": at_least(median["shared"] / median["literal"], 4),
            "share_of_matmul_rate": at_least(share, None),
            "bfloat16_over_literal": at_least(median["bfloat16"] / median["literal"], 17),
            "bfloat16_over_float32": at_least(median["bfloat16"] / median["packed"], 3),
            "bfloat16_share_of_matmul_rate": at_least(half_share, 0.3),
        },
        "conditions": {
            "real_tokens_per_second": {name: round(value, 1) for name, value in median.items()},
            "longest": longest,
            "mean_length": round(statistics.mean(lengths), 1),
            "micro_batch": MICRO_BATCH,
            "targets": list(PAPER.targets),
            "rounds": rounds,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "float32_and_bfloat16_gflops": [round(matmul_rate(760, 576, 1536, dtype) / 1e9) for dtype in DTYPES],
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.train_throughput")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--rounds", type=int, default=5, help="rounds whose median counts")
    arguments = parser.parse_args()
    finish(measure(arguments.rounds), arguments.json)
