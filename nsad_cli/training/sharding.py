"""Shards of the frozen base, one a process (FSDP): each layer is gathered while it runs, and only then.

accelerate's own wrapping would shard adapters and base alike and put the whole base into every checkpoint. Here only
the layers' frozen weights are shards; adapters, embeddings and head stay whole in every process, so that checkpoints,
the optimizer and the exchange of gradients are those of any other run.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from nsad_cli.errors import NsadError
from nsad_cli.nat.adapters import Adapters
from nsad_cli.packing import decoder
from nsad_cli.processes import count


def shard_base(adapters: Adapters, objective: nn.Module) -> None:
    """Shard the base's layers over all processes, for good, and keep torch's DDP around `objective` away from them.

    Raises NsadError for a torch without `fully_shard`, and for a base without a list of layers.
    """
    try:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard
        from torch.nn.parallel import DistributedDataParallel
    except ImportError as error:
        raise NsadError(
            "the base cannot be sharded", f"this torch has no FSDP: {error}", "install torch 2.7 or newer"
        ) from error
    if getattr(adapters.base, "is_quantized", False):
        raise NsadError(
            "a base in 4 bits is not sharded",
            "its packed weights do not survive it",
            "set student.load_in_4bit to false, or launch without FSDP: each process then has the whole base",
        )
    layers = _layers(adapters.base)
    shards = {id(p) for layer in layers for name, p in layer.named_parameters() if "lora_" not in name}
    whole = {p for p in adapters.base.parameters() if id(p) not in shards}
    names = [name for name, p in objective.named_parameters() if id(p) in shards]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(objective, names)
    mesh = init_device_mesh(adapters.base.device.type, (count(),))
    for module in (*layers, decoder(adapters.base)):
        fully_shard(module, mesh=mesh, ignored_params=whole)


def _layers(base: Any) -> list[nn.Module]:
    depth = base.config.get_text_config().num_hidden_layers
    for module in decoder(base).modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return list(module)
    raise NsadError(
        "the base cannot be sharded",
        f"a model of the kind `{base.config.model_type}` has no list of its {depth} layers",
        "run without FSDP: set distributed_type to MULTI_GPU in accelerate's configuration",
    )
