"""Which dtype `auto` stands for on a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nsad_cli.utils import processor

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f amx_bf16 amx_tile\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_vnni not_bf16\n", False),
        ("", False),
    ],
)
def test_the_kernel_names_the_instructions(text: str, found: bool, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert processor.cpu_has_bfloat16(tmp_path / "cpuinfo") is found


def test_without_a_description_there_are_none(tmp_path: Path) -> None:
    assert not processor.cpu_has_bfloat16(tmp_path / "none")
    assert not processor.cpu_lacks_amx(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("flags\t\t: fpu avx512f amx_bf16 amx_tile\n", False),
        ("flags\t\t: fpu avx512f avx512_bf16\n", True),
        ("Features\t: fp asimd bf16 i8mm\n", False),
    ],
)
def test_only_an_x86_processor_lacks_amx(text: str, lacks: bool, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert processor.cpu_lacks_amx(tmp_path / "cpuinfo") is lacks


@pytest.mark.parametrize(
    ("device", "cpu", "gpu", "dtype"),
    [
        ("cpu", True, False, "bfloat16"),
        ("cpu", False, True, "float32"),
        ("auto", False, True, "bfloat16"),
        ("auto", False, False, "float32"),
        ("cuda:1", False, False, "bfloat16"),
        ("mps", True, False, "float32"),
    ],
)
def test_auto_is_bfloat16_where_it_is_native(
    device: str, cpu: bool, gpu: bool, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(processor, "cpu_has_bfloat16", lambda: cpu)
    monkeypatch.setattr(processor, "_has_gpu", lambda: gpu)
    assert processor.default_dtype(device) == dtype


@pytest.mark.parametrize(
    ("device", "gpu", "installed", "processes", "engine"),
    [
        ("auto", True, True, "1", "vllm"),
        ("cuda:1", True, True, "1", "vllm"),
        ("auto", True, False, "1", "hf"),
        ("auto", True, True, "2", "hf"),
        ("auto", False, True, "1", "hf"),
        ("cpu", True, True, "1", "hf"),
        ("mps", True, True, "1", "hf"),
    ],
)
def test_auto_is_vllm_on_cuda_where_it_is_installed(
    device: str, gpu: bool, installed: bool, processes: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "_has_gpu", lambda: gpu)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object() if installed else None)
    monkeypatch.setenv("WORLD_SIZE", processes)
    assert processor.default_engine(device) == engine
