"""`make test-gpu`: the CUDA paths against float64 on the CPU, and figures of speed and memory of this GPU.

Every other machine skips this file. The figures are printed with `-rP`, as the target does.
"""

from __future__ import annotations

import time

import pytest
import torch

from nsad_cli.errors import NsadError
from nsad_cli.generation.hf import HFSampler
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.models import packing
from nsad_cli.models.device_memory import memory_errors
from nsad_cli.models.nat.config import AdapterSettings
from nsad_cli.models.nat.layer import unit_matrices
from nsad_cli.models.segment_attention import Segment, segment_attention
from nsad_cli.models.student import load_student
from nsad_cli.pipeline.throughput import _untrained_adapters, probe
from tests.helpers.literal_unit import literal_output
from tests.helpers.nat_layers import nat_layer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

SETTINGS = AdapterSettings(targets=("q_proj", "v_proj"), r=8, alpha=16, dropout=0.05)
QUESTIONS = [f"Tom has {i + 3} apples and buys {2 * i + 1} more. How many apples does he have?" for i in range(16)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_nat_layer_is_no_worse_than_the_literal_form(dtype: torch.dtype, frozen: bool) -> None:
    layer = nat_layer(dtype=dtype).cuda()
    layer.eval().requires_grad_(False)
    if not frozen:
        layer.lora_A["nat"].requires_grad_(True)
    x = torch.randn(256, 64, device="cuda").to(dtype)
    matrices = unit_matrices(layer, "nat")
    with torch.no_grad():
        base = layer.base_layer(x)
        wide = {name: value.double() for name, value in matrices.items()}
        expected = literal_output(x.double(), base.double(), wide, 2.0, 2.0)
        literal = literal_output(x, base, matrices, 2.0, 2.0)
        error, bound = ((found.double() - expected).norm().item() for found in (layer(x), literal))
    print(f"{dtype}, frozen {frozen}: error {error:.2e}, the literal form's {bound:.2e}")
    assert error <= 2 * bound + 1e-6


def test_the_variable_length_kernel_equals_products_in_float64() -> None:
    if not packing._fits_varlen(torch.empty(1, 1, 1, 64, device="cuda", dtype=torch.bfloat16)):
        pytest.skip("the kernel needs an Ampere GPU or newer")
    segments = (Segment(40), Segment(30, 0), Segment(7, 0), Segment(64))
    torch.manual_seed(0)
    parts = [torch.randn(1, heads, 141, 64, device="cuda").bfloat16() for heads in (9, 3, 3)]
    query, key, value = parts
    found = packing._variable_length(query, key, value, segments, None, None)
    wide = [part.double().cpu() for part in parts]
    exact = segment_attention(wide[0], wide[1], wide[2], segments, None)
    error = (found.double().cpu() - exact).norm() / exact.norm()
    print(f"relative error {error:.2e}")
    assert error < 0.01


def test_greedy_chains_equal_those_of_the_cpu_in_float32() -> None:
    tasks = [Task(str(i), question, (0,)) for i, question in enumerate(QUESTIONS)]
    found = []
    for device in ("cpu", "cuda"):
        student = load_student("smollm2", device=device, dtype="float32")
        sampler = HFSampler(student, None, None, batch_size=16)
        chains = sampler.sample(tasks, Sampling(0.0, 1.0, 48), seed="a")
        found.append({chain.problem_id: chain.text for chain in chains})
    same = sum(found[0][key] == found[1][key] for key in found[0])
    print(f"{same} of {len(tasks)} greedy chains are equal")
    assert same >= 0.8 * len(tasks), "rounding may turn a near tie, but not many"


def test_speeds() -> None:
    """Figures only: tokens a second by kind of step, with LoRA and NAT while sampling in turn, and peak memory."""
    student = load_student("smollm2", device="cuda", dtype="bfloat16")
    torch.cuda.reset_peak_memory_stats()
    speeds = probe(student, SETTINGS, rows=32, prompt=100, completion=200, questions=QUESTIONS, batch_size=64)
    print(f"{torch.cuda.get_device_name()}: {speeds}, peak {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB")
    assert min(speeds.lora, speeds.nat, speeds.nce, speeds.sampling) > 0
    student = load_student("smollm2", device="cuda", dtype="bfloat16")
    adapters = _untrained_adapters(student, SETTINGS)
    adapters.train_only(None)
    tasks = [Task(str(i), question, tuple(range(4))) for i, question in enumerate(QUESTIONS)]
    rates: dict[str, list[float]] = {"nce": [], "nat": []}
    for _ in range(3):
        for name, rate in rates.items():
            started = time.perf_counter()
            chains = list(HFSampler(student, adapters, name, 64).sample(tasks, Sampling(1.0, 1.0, 64), seed="a"))
            torch.cuda.synchronize()
            rate.append(sum(len(chain.logprobs) for chain in chains) / (time.perf_counter() - started))
    print(f"sampling, best of 3: LoRA {max(rates['nce']):.0f}, NAT {max(rates['nat']):.0f} tokens/s")


def test_exhausted_memory_names_the_setting() -> None:
    with pytest.raises(NsadError, match="exhausted"), memory_errors("nat", "training.nat.pack_tokens", 4096):
        torch.empty(2**50, dtype=torch.uint8, device="cuda")
