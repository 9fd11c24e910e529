"""Shards of the frozen base, one per process (FSDP): each layer is gathered while it runs, and only then.

accelerate's own wrapping would shard adapters and base alike and put the whole base into every checkpoint. Here only
the layers' frozen weights are shards; adapters, embeddings and head stay whole in every process, so that checkpoints,
the optimizer and the exchange of gradients are those of any other run.
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
    """Shard the base's layers over all processes, for good, and keep torch's DDP around `objective` away from them.

    Returns the bytes of the base that this process keeps, and those of the whole base. Raises NsadError for a torch
    whose `fully_shard` can leave nothing out, and for a base that runs no packs or has no list of layers.
    """
    from torch.distributed import device_mesh, fsdp
    from torch.nn.parallel import DistributedDataParallel

    fully_shard = getattr(fsdp, "fully_shard", None)
    if fully_shard is None or "ignored_params" not in inspect.signature(fully_shard).parameters:
        raise NsadError(
            "the base cannot be sharded", f"torch {torch.__version__} is too old for it", "install torch 2.7 or newer"
        )
    if not enable_packing(adapters.base):
        raise NsadError(
            "the base cannot be sharded",
            "its attention runs sequences one by one, as many as each process has: they would wait for each other",
            DISABLE_FSDP_HINT,
        )
    size = _bytes(adapters.base)
    layers = _layers(adapters.base)
    shards = {id(p) for layer in layers for p in _frozen(layer)}
    whole = {p for p in adapters.base.parameters() if id(p) not in shards}
    names = [name for name, p in objective.named_parameters() if id(p) in shards]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(objective, names)
    mesh = device_mesh.init_device_mesh(adapters.base.device.type, (world_size(),))
    for module in (*layers, decoder(adapters.base)):
        fully_shard(module, mesh=mesh, ignored_params=whole)
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
        f"a model of the kind `{base.config.model_type}` has no list of its {depth} layers",
        DISABLE_FSDP_HINT,
    )
