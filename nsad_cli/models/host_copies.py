"""Copies from the host to a GPU that do not wait for the GPU's queued work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device; from the CPU to CUDA through pinned memory, so that the copy is only queued."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def all_to_device(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Copy integer or boolean tensors of any shape to a device in one copy."""
    if all(tensor.device == device for tensor in tensors):
        return list(tensors)
    joined = to_device(torch.cat([tensor.flatten().long() for tensor in tensors]), device)
    parts = joined.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape).to(tensor.dtype) for part, tensor in zip(parts, tensors, strict=True)]
