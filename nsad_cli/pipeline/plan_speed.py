"""The student's speed on this machine, for a plan's times: remembered, or measured by a few steps."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from nsad_cli.config.stages import NAT
from nsad_cli.models.smollm2 import cache_folder
from nsad_cli.pipeline.known_speeds import FILE, known_speeds, remember_speeds, speeds_key
from nsad_cli.pipeline.plan_draft import MAX_LENGTH_SAMPLES, PlanContext, sequences_at_once
from nsad_cli.runs.base_model import base_key
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    import torch

    from nsad_cli.pipeline.throughput import Speeds

PROBE_MEMORY_FACTOR = 1.3
"""The memory that measuring the speed needs, as a multiple of the student's weights."""


def measured_speeds(context: PlanContext) -> Speeds | None:
    """Measure the speed of the student on this machine; None if nothing is left to do, or memory is too small."""
    drafts, notes, recipe = context.drafts.values(), context.notes, context.recipe
    if not any(draft.work and not draft.done for draft in drafts):
        return None
    import torch

    from nsad_cli.models.device import pick_device

    device = pick_device(recipe.student.device)
    free = _free_gib(device)
    waiting = [draft for draft in drafts if not draft.done and "memory_gib" in draft.more]
    peak = max((draft.more["memory_gib"] for draft in waiting), default=0.0)
    if peak > free:
        notes.append(f"memory: up to {peak:.1f} GiB are needed, {free:.1f} GiB are free")
    if PROBE_MEMORY_FACTOR * context.footprint.weights_gib() > free:
        notes.append("time: unknown, because the student does not fit into this machine's free memory")
        return None
    try:
        speeds, date = _known_or_measured(context, device)
    except torch.OutOfMemoryError:
        notes.append("time: unknown, because a training step does not fit into this machine's free memory")
        return None
    when = f"measured on {date} ({cache_folder() / FILE})" if date else f"from {speeds.seconds:.0f} s of steps"
    notes.append(
        f"time: rough, {when} on this machine ({device.type}), in tokens/s: LoRA {speeds.lora:.0f}, "
        f"NAT {speeds.nat:.0f}, NCE {speeds.nce:.0f}, sampling {speeds.sampling:.0f}"
    )
    if speeds.extrapolated:
        notes.append("time: the slowest steps are extrapolated from forward passes")
    return speeds


def _known_or_measured(context: PlanContext, device: torch.device) -> tuple[Speeds, str | None]:
    """Return the student's speeds on this machine, and the date of their measurement unless it was now."""
    from nsad_cli.pipeline.throughput import probe

    recipe, session = context.recipe, context.session
    rows = sequences_at_once(recipe.training.of(NAT.name), context.length)
    prompt, completion = max(1, round(context.prompt)), max(1, round(context.completion))
    student, lengths = recipe.student, [length.bit_length() for length in (prompt, completion)]
    base = base_key(context.run, recipe)
    key = speeds_key(
        device,
        base,
        student.dtype,
        student.load_in_4bit,
        dataclasses.asdict(session.adapter_settings),
        rows,
        lengths,
        recipe.sampling.batch_size,
    )
    known = known_speeds(key)
    if known is not None:
        return known
    note("measuring the speed of a few steps on this machine …")
    questions = [problem.question for problem in context.ahead.problems[:MAX_LENGTH_SAMPLES]]
    speeds = probe(
        session.student,
        session.adapter_settings,
        rows=rows,
        prompt=prompt,
        completion=completion,
        questions=questions,
        batch_size=recipe.sampling.batch_size,
    )
    remember_speeds(key, speeds)
    return speeds, None


def _free_gib(device: torch.device) -> float:
    """Return the free memory of a device."""
    if device.type == "cuda":
        from torch import cuda

        return float(cuda.mem_get_info()[0] / 2**30)
    import psutil

    return float(psutil.virtual_memory().available / 2**30)
