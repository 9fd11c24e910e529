"""Estimated speeds of GPUs that are not at hand, from their data sheets; nothing here is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.config.stages import NAT, NCE, NEGATIVE

if TYPE_CHECKING:
    from nsad_cli.pipeline.plan_draft import PlanContext
    from nsad_cli.pipeline.throughput import Speeds

UTILISATION = 0.4
"""The assumed share of the peak FLOP/s in training and forward passes."""
BANDWIDTH_SHARE = 0.6
"""The assumed share of the memory bandwidth in decoding."""
LAYER_SECONDS = 0.001
"""The assumed time per layer and decoding step for launching kernels from Python."""


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """Data-sheet values of one GPU."""

    title: str
    tflops: float
    """Peak of dense bfloat16 matrix products, in 10¹² FLOP/s."""
    bandwidth: float
    """Memory bandwidth, in GB/s."""
    memory_gib: float


PROFILES = {
    "a100": DeviceProfile("A100 SXM 80 GB", 312, 2039, 80),
    "h100": DeviceProfile("H100 SXM 80 GB", 989, 3350, 80),
    "h200": DeviceProfile("H200 SXM 141 GB", 989, 4800, 141e9 / 2**30),
    "l40s": DeviceProfile("L40S 48 GB", 362, 864, 48),
    "rtx4090": DeviceProfile("RTX 4090 24 GB", 165, 1008, 24),
}
"""Profiles by the names of config.choices.DEVICE_PROFILES."""


def estimated_speeds(context: PlanContext, name: str) -> Speeds:
    """Estimate the speed of the planned student on a GPU, and note the assumptions in the plan.

    A forward pass takes 2 FLOP per token and parameter, other steps a multiple of it (throughput.FORWARD_PASSES). A
    decoding step reads all weights and the KV cache of its rows, or takes its FLOPs, if that is longer.

    Args:
        context: The plan so far.
        name: A name of PROFILES.

    Returns:
        The speeds in tokens per second.
    """
    from nsad_cli.pipeline.throughput import FORWARD_PASSES, Speeds

    profile, footprint, recipe = PROFILES[name], context.footprint, context.recipe
    flop = 2 * (footprint.base - footprint.vocabulary * footprint.hidden)  # embeddings are looked up
    forward = UTILISATION * profile.tflops * 1e12 / flop
    rows = recipe.sampling.batch_size
    cache = rows * context.length * footprint.layers * footprint.cached * footprint.bytes_each
    read = (footprint.base_bytes + cache) / (BANDWIDTH_SHARE * profile.bandwidth * 1e9)
    sampling = rows / (max(read, rows / forward) + LAYER_SECONDS * footprint.layers)
    speeds = Speeds(
        lora=forward / FORWARD_PASSES[NEGATIVE.cost.step],
        nat=forward / FORWARD_PASSES[NAT.cost.step],
        nce=forward / FORWARD_PASSES[NCE.cost.step],
        forward=forward,
        sampling=sampling,
        seconds=0.0,
    )
    _note_assumptions(context, profile, speeds)
    return speeds


def _note_assumptions(context: PlanContext, profile: DeviceProfile, speeds: Speeds) -> None:
    notes, student = context.notes, context.recipe.student
    notes.append(
        f"time: an estimate for one {profile.title}, not measured. Assumed: training at {UTILISATION:.0%} of "
        f"{profile.tflops:.0f} TFLOP/s (bfloat16); decoding {context.recipe.sampling.batch_size} chains at once at "
        f"{BANDWIDTH_SHARE:.0%} of {profile.bandwidth:,.0f} GB/s, and {LAYER_SECONDS * 1000:.0f} ms per layer and step"
    )
    notes.append(
        f"that gives, in tokens/s: LoRA {speeds.lora:,.0f}, NAT {speeds.nat:,.0f}, NCE {speeds.nce:,.0f}, "
        f"sampling {speeds.sampling:,.0f}"
    )
    if student.dtype == "float32" or student.load_in_4bit:
        what = "in float32" if student.dtype == "float32" else "in 4 bits"
        notes.append(f"time: too low, because the student is {what} and the rates are those of bfloat16")
    waiting = [draft for draft in context.drafts.values() if not draft.done]
    peak = max((draft.more.get("memory_gib") or 0.0 for draft in waiting), default=0.0)
    if peak > profile.memory_gib:
        notes.append(f"memory: up to {peak:.1f} GiB are needed, the GPU has {profile.memory_gib:.0f} GiB")
