"""How fast a student trains and writes on this machine: a few steps of each kind, timed; rough by design."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from nsad_cli.config.stages import NAT, NCE, NEGATIVE
from nsad_cli.generation.hf import HFSampler
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.packing import Example
from nsad_cli.training.likelihood import CompletionObjective
from nsad_cli.training.nce import NceObjective

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nsad_cli.models.nat.config import AdapterSettings
    from nsad_cli.models.student import Student

ENOUGH = 0.5
"""Seconds after which a kind of step is not repeated."""
CPU_TOKENS = 256
"""Tokens of a step on a CPU, at most: its speed per token hardly grows beyond, its seconds do."""
CHAINS = 4
"""Chains of one problem in the sampling probe, which share the pass over its prompt."""
WRITTEN = 5
"""Tokens that every chain of the sampling probe writes."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """Tokens a second by kind of step, and the seconds that the probe itself took."""

    lora: float
    nat: float
    nce: float
    forward: float
    sampling: float
    seconds: float


def probe(
    student: Student,
    settings: AdapterSettings,
    *,
    rows: int,
    prompt: int,
    completion: int,
    questions: Sequence[str],
    batch_size: int,
) -> Speeds:
    """Time training on `rows` sequences of `prompt` + `completion` tokens, and writing `batch_size` chains at once.

    The student gets untrained adapters and is changed by nothing else.
    """
    started = time.perf_counter()
    device = student.model.device
    if device.type == "cpu":
        rows = max(1, min(rows, CPU_TOKENS // (prompt + completion)))
    adapters = Adapters(student.model)
    adapters.add_lora(NEGATIVE.name, settings, 0)
    adapters.add_nat(NAT.name, settings, NEGATIVE.name, 1)
    adapters.add_lora(NCE.name, settings, 2)
    # Which tokens they are makes no difference to the time.
    ids = torch.randint(student.model.config.get_text_config().vocab_size, (rows, prompt + completion)).tolist()
    examples = [Example(tuple(row[:prompt]), tuple(row[prompt:])) for row in ids]
    tokens = sum(map(len, examples))

    def step(objective: CompletionObjective) -> None:
        objective.adapters.train_only(objective.name)
        objective.train()
        (batch,) = objective.packs(examples, tokens)
        with torch.autocast(device.type, torch.bfloat16, enabled=student.model.dtype == torch.bfloat16):
            total = objective.loss(batch.to(device)).total
        total.backward()
        adapters.model.zero_grad(set_to_none=True)

    def forward() -> None:
        lora.eval()
        with torch.no_grad():
            lora.loss(lora.packs(examples, tokens)[0].to(device))

    lora, nat = CompletionObjective(adapters, NEGATIVE.name), CompletionObjective(adapters, NAT.name)
    nce = NceObjective(adapters, lam=0.5, beta="sequence")
    objectives: dict[str, CompletionObjective] = {
        NEGATIVE.cost.step: lora,
        NAT.cost.step: nat,
        NCE.cost.step: nce,
    }
    forward()  # the first pass of a process is slower than any other
    speed = {
        "forward": _per_second(forward, tokens, device),
        **{
            kind: _per_second(functools.partial(step, objective), tokens, device)
            for kind, objective in objectives.items()
        },
    }
    sampling = _sampling(student, adapters, questions, batch_size)
    return Speeds(**speed, sampling=sampling, seconds=time.perf_counter() - started)


def _per_second(step: Callable[[], Any], tokens: int, device: torch.device) -> float:
    _wait(device)
    started, steps = time.perf_counter(), 0
    while not steps or time.perf_counter() - started < ENOUGH:
        step()
        _wait(device)
        steps += 1
    return tokens * steps / (time.perf_counter() - started)


def _sampling(student: Student, adapters: Adapters, questions: Sequence[str], batch_size: int) -> float:
    """Tokens a second of a batch that writes, its prompts not counted."""
    share = CHAINS if batch_size > CHAINS else 1
    groups = [range(start, min(start + share, batch_size)) for start in range(0, batch_size, share)]
    tasks = [Task(str(i), questions[i % len(questions)], tuple(group)) for i, group in enumerate(groups)]
    seen: list[tuple[float, int]] = []

    def wrote(tokens: int) -> None:
        _wait(student.model.device)
        seen.append((time.perf_counter(), tokens))

    started = time.perf_counter()
    sampler = HFSampler(student, adapters, NCE.name, batch_size)
    list(sampler.sample(tasks, Sampling(1.0, 1.0, WRITTEN), seed="probe", on_tokens=wrote))
    if len(seen) > 1:
        return sum(tokens for _, tokens in seen[1:]) / (seen[-1][0] - seen[0][0])
    return batch_size / (seen[0][0] - started)


def _wait(device: torch.device) -> None:
    """Let a GPU finish: its work is only queued when a call returns."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
