"""Copies to a GPU, with doubles: pinned, not waited for, and one per pack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch

from nsad_cli.models import host_copies
from nsad_cli.models.host_copies import all_to_device, to_device
from nsad_cli.models.packing import Example, pack

if TYPE_CHECKING:
    import pytest

CUDA = torch.device("cuda")


class HostTensor:
    """A double of a tensor on the host: it records how it is copied."""

    device = torch.device("cpu")

    def __init__(self, *, pinned: bool = False) -> None:
        self.pinned = pinned
        self.copies: list[tuple[torch.device, bool]] = []

    def pin_memory(self) -> HostTensor:
        pinned = HostTensor(pinned=True)
        pinned.copies = self.copies
        return pinned

    def to(self, device: torch.device, *, non_blocking: bool = False) -> str:
        self.copies.append((device, non_blocking and self.pinned))
        return "copy"


def test_a_copy_to_a_gpu_is_pinned_and_only_queued() -> None:
    tensor = HostTensor()
    assert to_device(cast("Any", tensor), CUDA) == cast("Any", "copy")
    assert tensor.copies == [(CUDA, True)]
    to_device(cast("Any", tensor), torch.device("cpu"))
    assert tensor.copies[1:] == [(torch.device("cpu"), False)], "nothing is pinned without a GPU"


def test_a_pack_is_copied_at_once_and_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[torch.Size] = []

    def copy(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        assert device == CUDA
        copies.append(tensor.shape)
        return tensor.clone()

    monkeypatch.setattr(host_copies, "to_device", copy)
    examples = [Example((1, 2, 3), (4, 5)), Example((1, 2, 3), (6,), wrong=True), Example((7,), (8, 9))]
    whole = pack(examples, share=True)
    moved = whole.to(CUDA)
    assert len(copies) == 1
    for name in ("input_ids", "position_ids", "completion", "before", "targets", "rows", "wrong"):
        before, after = getattr(whole, name), getattr(moved, name)
        assert torch.equal(before, after), name
        assert before.dtype == after.dtype, name
    assert moved.wrong.tolist() == [False, True, False]
    assert (moved.segments, moved.examples) == (whole.segments, whole.examples)


def test_tensors_that_are_on_the_device_are_not_copied() -> None:
    tensors = [torch.arange(3), torch.tensor([[True]])]
    assert all(a is b for a, b in zip(all_to_device(tensors, torch.device("cpu")), tensors, strict=True))
