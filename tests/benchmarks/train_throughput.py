"""NAT's training loop against a literal port of the reference's and against LoRA's, on GPT-3.5's real lengths.

    NSAD_DATA=… python -m tests.benchmarks.train_throughput [--json] [--rounds 7] [--literal-rounds 3]

NSAD_DATA holds tdg/GPT3.5-turbo-MATH. All loops get the same micro-batches in turn, in one process; real tokens are
those that are not padding, a shared prompt counted once for each of its rationales. A forward and a backward pass of a
micro-batch on SmolLM2 is measured, without the optimizer; the literal loop, which takes most of the time and of the
memory (12 GiB), runs in the first rounds only. Speeds are compared by the median over rounds of the ratio in a round.

The share of the machine's matmul rate counts 4 floating-point operations for each weight of the base and real token
(forward, and backward to the inputs: the base is frozen). bfloat16 runs on a base of its own; its share is of the
bfloat16 rate at the size of SmolLM2's matrices, [tokens, 576] · [576, 1536].
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from dataclasses import dataclass
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
from tests.benchmarks.report import at_least, at_most, close_to_machine, data_path, finish, matmul_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nsad_cli.models.nat.adapters import Adapters

RATIONALES = "tdg/GPT3.5-turbo-MATH"
MAX_CHARS = 1600
MICRO_BATCH = 4
PACK_TOKENS = 4096
SAMPLE = 400
DTYPES = (torch.float32, torch.bfloat16)


def real_examples(student: Student, max_chars: int = MAX_CHARS) -> list[list[Example]]:
    """Rationales under the reference's length limit, problem by problem, of a seeded sample of problems."""
    teacher: Any = make_teacher(f"tdg:{data_path(RATIONALES)}", TeacherConfig())
    problems = random.Random(0).sample(teacher.problems(), SAMPLE)
    groups = []
    for problem in problems:
        prompt = tuple(student.prompt_ids(problem.question))
        texts = [t for t in teacher._rationales[problem.id] if len(problem.question) + len(t) < max_chars]
        if len(texts) >= MICRO_BATCH:
            groups.append([Example(prompt, tuple(student.completion_ids(text))) for text in texts])
    return groups


@dataclass(frozen=True)
class Case:
    """One way to train on a micro-batch."""

    adapters: Adapters
    adapter: str
    """The adapter that is trained."""
    step: Callable[[Sequence[Example]], None]
    """A forward and a backward pass."""
    shared: bool = False
    """Whether the micro-batch is of one problem, so that its sequences share a prompt."""


def our_case(adapters: Adapters, adapter: str, *, share: bool = False) -> Case:
    """Our loop for one adapter."""
    objective = CompletionObjective(adapters, adapter, share=share)

    def step(examples: Sequence[Example]) -> None:
        for batch in objective.packs(examples, PACK_TOKENS):
            objective.loss(batch).total.backward()

    return Case(adapters, adapter, step, share)


def literal_case(adapters: Adapters, longest: int, pad: int) -> Case:
    """The reference's loop for NAT, every sequence padded to `longest` tokens."""
    layers = [module for module in adapters.model.modules() if isinstance(module, NatLinear)]

    def step(examples: Sequence[Example]) -> None:
        try:
            for layer in layers:
                layer.lora_variant["nat"] = LiteralVariant()
            likelihood_step(adapters, "nat", *padded(examples, longest, pad))
        finally:
            for layer in layers:
                layer.lora_variant["nat"] = NatVariant()

    return Case(adapters, "nat", step)


def rate(case: Case, examples: Sequence[Example]) -> float:
    """Real tokens a second of one step."""
    case.adapters.train_only(case.adapter)
    case.adapters.model.zero_grad(set_to_none=True)
    started = time.perf_counter()
    case.step(examples)
    return sum(map(len, examples)) / (time.perf_counter() - started)


def speeds(cases: dict[str, Case], groups: list[list[Example]], rounds: int, literal: int) -> dict[str, list[float]]:
    """Real tokens a second of every case, round by round; the first round, on one sequence, only warms up.

    Args:
        cases: The cases; `literal` runs in the first rounds only.
        groups: Sequences, problem by problem.
        rounds: Rounds that count.
        literal: Rounds in which the literal loop runs.
    """
    chance = random.Random(1)
    mixed = [chance.choice(group) for group in groups]
    found: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, case in cases.items():
            if name == "literal" and (number > literal or not literal):
                continue
            print(f"round {number} {name} …", file=sys.stderr)
            place = MICRO_BATCH * number
            examples = groups[number][:MICRO_BATCH] if case.shared else mixed[place : place + MICRO_BATCH]
            tokens_per_second = rate(case, examples if number else examples[:1])
            if number:
                found[name].append(tokens_per_second)
    return found


def ratios(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """The ratio of two cases' speeds within each round that has both."""
    return sorted(a / b for a, b in zip(first, second, strict=False))


def measure(rounds: int, literal_rounds: int) -> dict[str, Any]:
    """Compare the speeds of all cases."""
    data_path(RATIONALES)
    student = load_student("smollm2", device="cpu", dtype="float32")
    half_student = load_student("smollm2", device="cpu", dtype="bfloat16")
    groups = real_examples(student)
    lengths = [len(example) for group in groups for example in group]
    full, half = (trio(loaded.model, ("negative", "nat")) for loaded in (student, half_student))
    cases = {
        "literal": literal_case(full, max(lengths), student.pad_id),
        "packed": our_case(full, "nat"),
        "lora": our_case(full, "negative"),
        "shared": our_case(full, "nat", share=True),
        "bfloat16": our_case(half, "nat"),
        "bfloat16_lora": our_case(half, "negative"),
    }
    for adapters in (full, half):
        adapters.model.train()
    found = speeds(cases, groups, rounds, literal_rounds)
    compared = {
        "packed_over_literal": ratios(found["packed"], found["literal"]),
        "shared_prompts_over_literal": ratios(found["shared"], found["literal"]),
        "bfloat16_over_literal": ratios(found["bfloat16"], found["literal"]),
        "bfloat16_over_float32": ratios(found["bfloat16"], found["packed"]),
        "nat_over_lora_step": ratios(found["lora"], found["packed"]),
        "bfloat16_nat_over_lora_step": ratios(found["bfloat16_lora"], found["bfloat16"]),
    }
    middle = {name: statistics.median(values) if values else None for name, values in (compared | found).items()}
    weights = sum(p.numel() for p in student.model.parameters() if not p.requires_grad)
    share = close_to_machine(4 * weights * statistics.median(found["packed"]), student.model.device)
    half_share = 4 * weights * statistics.median(found["bfloat16"]) / matmul_rate(760, 576, 1536, torch.bfloat16)
    return {
        "figures": {
            "packed_over_literal": at_least(middle["packed_over_literal"], 4),
            "shared_prompts_over_literal": at_least(middle["shared_prompts_over_literal"], 4),
            "share_of_matmul_rate": at_least(share, None),
            "nat_over_lora_step": at_most(middle["nat_over_lora_step"], 1.15),
            "bfloat16_over_literal": at_least(middle["bfloat16_over_literal"], 17),
            "bfloat16_over_float32": at_least(middle["bfloat16_over_float32"], 3),
            "bfloat16_share_of_matmul_rate": at_least(half_share, 0.3),
            "bfloat16_nat_over_lora_step": at_most(middle["bfloat16_nat_over_lora_step"], 1.15),
        },
        "conditions": {
            "real_tokens_per_second": {name: round(value, 1) for name in cases if (value := middle[name])},
            "least_and_greatest": {name: [round(v, 3) for v in (r[0], r[-1])] for name, r in compared.items() if r},
            "longest": max(lengths),
            "mean_length": round(statistics.mean(lengths), 1),
            "micro_batch": MICRO_BATCH,
            "targets": list(PAPER.targets),
            "rounds": [rounds, literal_rounds],
            "threads": torch.get_num_threads(),
            "load": round(os.getloadavg()[0], 1),
            "torch": torch.__version__,
            "float32_and_bfloat16_gflops": [round(matmul_rate(760, 576, 1536, dtype) / 1e9) for dtype in DTYPES],
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.train_throughput")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--rounds", type=int, default=7, help="rounds whose median counts")
    parser.add_argument(
        "--literal-rounds", type=int, default=3, help="rounds in which the literal loop runs; 0 for none"
    )
    arguments = parser.parse_args()
    finish(measure(arguments.rounds, arguments.literal_rounds), arguments.json)
