"""Sharding of the frozen base over processes (FSDP): a layer's weights are gathered only while it runs.

accelerate's own wrapping would shard adapters too and save the whole base in every checkpoint. Here only the layers'
frozen weights are sharded; adapters, embeddings and head are replicated in every process, so that checkpoints,
optimizer and gradient all-reduce work as without sharding.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from nsad_cli.errors import NsadError
from nsad_cli.models.packing import decoder, enable_packing
from nsad_cli.utils.distributed import world_size

if TYPE_CHECKING:
    from nsad_cli.models.nat.adapters import Adapters

DISABLE_FSDP_HINT = "run without FSDP: set distributed_type to MULTI_GPU in accelerate's configuration"


def shard_base(adapters: Adapters, objective: nn.Module) -> tuple[int, int]:
    """Shard the base's layers over all processes, permanently, and exclude them from torch's DDP around `objective`.

    Args:
        adapters: The adapters with their base.
        objective: The module that DDP will wrap.

    Returns:
        The bytes of the base in this process, and those of the whole base.

    Raises:
        NsadError: torch's `fully_shard` does not support `ignored_params`, the base does not support packing, or it
            has no list of layers.
    """
    from torch.distributed import device_mesh, fsdp
    from torch.nn.parallel import DistributedDataParallel

    fully_shard = getattr(fsdp, "fully_shard", None)
    if fully_shard is None or "ignored_params" not in inspect.signature(fully_shard).parameters:
        raise NsadError(
            "the base cannot be sharded", f"torch {torch.__version__} does not support it", "install torch 2.7 or newer"
        )
    if not enable_packing(adapters.base):
        raise NsadError(
            "the base cannot be sharded",
            "it does not support packing, so processes would run different numbers of forward passes and deadlock",
            DISABLE_FSDP_HINT,
        )
    size = _bytes(adapters.base)
    layers = _layers(adapters.base)
    shards = {id(p) for layer in layers for p in _frozen(layer)}
    replicated = {p for p in adapters.base.parameters() if id(p) not in shards}
    names = [name for name, p in objective.named_parameters() if id(p) in shards]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(objective, names)
    mesh = device_mesh.init_device_mesh(adapters.base.device.type, (world_size(),))
    for module in (*layers, decoder(adapters.base)):
        fully_shard(module, mesh=mesh, ignored_params=replicated)
    return _bytes(adapters.base), size


def _frozen(module: nn.Module) -> list[Any]:
    return [p for name, p in module.named_parameters() if "lora_" not in name]


def _bytes(base: nn.Module) -> int:
    return sum((p.to_local() if hasattr(p, "to_local") else p).nbytes for p in _frozen(base))


def _layers(base: Any) -> list[nn.Module]:
    depth = base.config.get_text_config().num_hidden_layers
    for module in decoder(base).modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return list(module)
    raise NsadError(
        "the base cannot be sharded",
        f"a model of type `{base.config.model_type}` has no list of its {depth} layers",
        DISABLE_FSDP_HINT,
    )
