"""What the machine's processors compute natively; torch is imported only if a GPU may decide."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path

from nsad_cli.utils.distributed import world_size

AMX_FLAG = "amx_bf16"
"""The kernel's name of x86's matrix unit for bfloat16."""
BFLOAT16_FLAGS = frozenset({AMX_FLAG, "avx512_bf16", "bf16"})
"""The kernel's names of bfloat16 instructions: AMX and AVX-512 of x86, and Arm's."""
GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Device files of GPU drivers: NVIDIA's, AMD's, and those of Windows under WSL."""


@functools.cache
def cpu_lacks_amx(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether this is an x86 CPU without AMX; False if Linux does not describe it."""
    flags = cpu_field("flags", cpuinfo=cpuinfo).split()
    return bool(flags) and AMX_FLAG not in flags


@functools.cache
def cpu_has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the CPU has bfloat16 matrix instructions; False where Linux does not describe it."""
    return not BFLOAT16_FLAGS.isdisjoint(cpu_field("flags", "Features", cpuinfo=cpuinfo).split())


def cpu_field(*names: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the value of the first field with one of these names in /proc/cpuinfo; empty if there is none."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(names)), "")


def default_dtype(device: str) -> str:
    """Return the dtype that `auto` resolves to: bfloat16 where it is native, else float32.

    Args:
        device: auto, cpu, mps, cuda or cuda:N.
    """
    if device.startswith("cuda"):
        return "bfloat16"
    if device == "mps" or sys.platform == "darwin":
        return "float32"
    if cpu_has_bfloat16() or (device == "auto" and _has_gpu()):
        return "bfloat16"
    return "float32"


def default_engine(device: str) -> str:
    """Return the engine that `auto` resolves to: vLLM on CUDA if it is installed, else transformers (hf).

    vLLM decodes with CUDA graphs and a paged cache; processes that train together sample with transformers.

    Args:
        device: auto, cpu, mps, cuda or cuda:N.
    """
    if world_size() > 1 or not (device.startswith("cuda") or (device == "auto" and _has_gpu())):
        return "hf"
    return "vllm" if importlib.util.find_spec("vllm") is not None else "hf"


def _has_gpu() -> bool:
    if not any(Path(file).exists() for file in GPU_FILES):
        return False
    import torch

    return torch.cuda.is_available()
