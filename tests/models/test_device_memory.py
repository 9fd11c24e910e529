"""Exhausted memory is an error that names a setting; other errors pass."""

from __future__ import annotations

import pytest
import torch

from nsad_cli.errors import NsadError
from nsad_cli.models.device_memory import free_share, memory_errors


@pytest.mark.parametrize(
    ("value", "fix"), [(4096, "set training.nat.pack_tokens to 2048 (it is 4096)"), (1, "use a smaller student")]
)
def test_a_full_gpu_names_the_setting_and_the_value_to_try(value: int, fix: str) -> None:
    with pytest.raises(NsadError) as caught, memory_errors("nat", "training.nat.pack_tokens", value):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    assert caught.value.what == "nat: the memory of the device is exhausted"
    assert "2.00 GiB" in caught.value.why
    assert caught.value.fix.startswith(fix)


def test_a_full_main_memory_is_recognised() -> None:
    with pytest.raises(NsadError, match="exhausted"), memory_errors("sampling", "sampling.batch_size", 64):
        torch.empty(2**62, dtype=torch.uint8)


def test_another_process_may_take_what_is_free_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert free_share() is None, "this process uses no GPU"
    returned: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: returned.append("cache"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (20 * 2**30, 80 * 2**30) if returned else (0, 1))
    assert free_share() == pytest.approx(0.225)


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_errors("nat", "training.nat.pack_tokens", 8):
        raise RuntimeError("shapes do not match")
