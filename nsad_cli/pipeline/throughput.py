"""A rough measurement of the student's training and sampling speed on this machine, from a few steps of each kind."""

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

MIN_SECONDS = 0.5
"""Each kind of step is repeated for at least this long."""
MAX_SECONDS = 20.0
"""Time limit of the measurement; a forward pass and one step of sampling are always measured."""
FORWARD_PASSES: dict[str, float] = {NEGATIVE.cost.step: 3.0, NAT.cost.step: 3.5, NCE.cost.step: 6.0}
"""The time of a training step of each kind, in forward passes of the student: a rough estimate."""
CPU_TOKENS = 256
"""The maximum tokens of a step on a CPU: beyond that the speed per token hardly grows."""
CHAINS = 4
"""Chains per problem in the sampling measurement; they share the prefill of the prompt."""
NEW_TOKENS = 5
"""Tokens per chain in the sampling measurement."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """Tokens per second by kind of step, and the seconds that the measurement took."""

    lora: float
    nat: float
    nce: float
    forward: float
    sampling: float
    seconds: float
    extrapolated: bool = False
    """Whether a training step would have exceeded MAX_SECONDS, so that its speed follows from the forward pass."""


def _untrained_adapters(student: Student, settings: AdapterSettings) -> Adapters:
    adapters = Adapters(student.model)
    adapters.add_lora(NEGATIVE.name, settings, 0)
    adapters.add_nat(NAT.name, settings, NEGATIVE.name, 1)
    adapters.add_lora(NCE.name, settings, 2)
    return adapters


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
    """Measure the speed of training and sampling; adds untrained adapters to the student.

    Args:
        student: The student.
        settings: The adapters' settings.
        rows: Sequences per training step.
        prompt: Tokens of a prompt.
        completion: Tokens of a completion.
        questions: Questions to sample chains for.
        batch_size: Chains sampled at once.

    Returns:
        The speeds.
    """
    started = time.perf_counter()
    device = student.model.device
    if device.type == "cpu":
        rows = max(1, min(rows, CPU_TOKENS // (prompt + completion)))
    adapters = _untrained_adapters(student, settings)
    # The time does not depend on which tokens they are.
    ids = torch.randint(student.model.config.get_text_config().vocab_size, (rows, prompt + completion)).tolist()
    examples = [Example(tuple(row[:prompt]), tuple(row[prompt:])) for row in ids]
    tokens = sum(map(len, examples))

    def step(objective: CompletionObjective) -> None:
        objective.adapters.train_only(objective.name)
        objective.train()
        (batch,) = objective.packs(examples, tokens)
        objective.loss(batch.to(device)).total.backward()
        adapters.model.zero_grad(set_to_none=True)

    def forward() -> None:
        lora.eval()
        with torch.no_grad():
            lora.loss(lora.packs(examples, tokens)[0].to(device))

    lora, nat = CompletionObjective(adapters, NEGATIVE.name), CompletionObjective(adapters, NAT.name)
    nce = NceObjective(adapters, lam=0.5, beta="sequence")
    objectives: dict[str, CompletionObjective] = {NEGATIVE.cost.step: lora, NAT.cost.step: nat, NCE.cost.step: nce}
    forward()  # warm-up: the first pass of a process is slower
    speed = {"forward": _per_second(forward, tokens, device)}
    extrapolated = False
    for kind, objective in objectives.items():
        expected = speed["forward"] / FORWARD_PASSES[kind]
        if time.perf_counter() - started + tokens / expected > MAX_SECONDS:
            speed[kind], extrapolated = expected, True
        else:
            speed[kind] = _per_second(functools.partial(step, objective), tokens, device)
    left = max(0.0, MAX_SECONDS - (time.perf_counter() - started))
    fitting = int(left * speed["forward"] / (prompt / CHAINS + NEW_TOKENS))
    sampling = _sampling(student, adapters, questions, max(1, min(batch_size, fitting)))
    return Speeds(**speed, sampling=sampling, seconds=time.perf_counter() - started, extrapolated=extrapolated)


def _per_second(step: Callable[[], Any], tokens: int, device: torch.device) -> float:
    _wait(device)
    started, steps = time.perf_counter(), 0
    while not steps or time.perf_counter() - started < MIN_SECONDS:
        step()
        _wait(device)
        steps += 1
    return tokens * steps / (time.perf_counter() - started)


def _sampling(student: Student, adapters: Adapters, questions: Sequence[str], batch_size: int) -> float:
    """Measure the tokens per second of sampling a batch, without the prefill of its prompts."""
    share = CHAINS if batch_size > CHAINS else 1
    groups = [range(start, min(start + share, batch_size)) for start in range(0, batch_size, share)]
    tasks = [Task(str(i), questions[i % len(questions)], tuple(group)) for i, group in enumerate(groups)]
    steps: list[tuple[float, int]] = []

    def on_tokens(tokens: int) -> None:
        _wait(student.model.device)
        steps.append((time.perf_counter(), tokens))

    started = time.perf_counter()
    sampler = HFSampler(student, adapters, NCE.name, batch_size)
    list(sampler.sample(tasks, Sampling(1.0, 1.0, NEW_TOKENS), seed="probe", on_tokens=on_tokens))
    if len(steps) > 1:
        return sum(tokens for _, tokens in steps[1:]) / (steps[-1][0] - steps[0][0])
    return batch_size / (steps[0][0] - started)


def _wait(device: torch.device) -> None:
    """Wait until a GPU has finished: calls return when their work is queued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
