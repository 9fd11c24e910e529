"""NAT as a plugin for stock vLLM: a folder of `nsad export --for vllm` loads wherever nsad and vLLM are installed.

vLLM finds `register` through the entry point `vllm.general_plugins` (pyproject.toml). The folder's config.json names
our quantization method. Its linear layers receive the adapter's tensors (models/nat/serving.py) from vLLM's own weight
loader, under the names of the adapted projections, and vLLM itself maps those to parts of fused layers (q, k and v;
gate and up). NAT does not depend on the architecture. Unsupported cases raise an error: tensors without a layer, a base
whose weights vLLM lays out differently, and several devices for one model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from vllm.config import get_current_vllm_config
from vllm.model_executor.layers.linear import LinearBase, LinearMethodBase, UnquantizedLinearMethod
from vllm.model_executor.layers.quantization import register_quantization_config
from vllm.model_executor.layers.quantization.base_config import QuantizationConfig, QuantizeMethodBase

from nsad_cli.generation.vllm_logprobs import skip_ranks
from nsad_cli.models.nat.serving import BELOW, METHOD, PREFIX, REST, VERSION, ServedUnit, probe, tensor_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

WEIGHT_TOLERANCE = 0.05
"""The maximum relative difference from the exported projection: allows for rounding, but not for reordered rows."""
QKV = {"q": 0, "k": 1, "v": 2}


def register() -> None:
    """Register the quantization method; vLLM calls this in each of its processes."""
    register_quantization_config(METHOD)(NsadConfig)
    skip_ranks()


class NsadConfig(QuantizationConfig):
    """The quantization config: the adapter's number of tensors, from config.json."""

    def __init__(self, tensors: int) -> None:
        super().__init__()
        self.tensors, self.loaded = tensors, 0

    def get_name(self) -> str:
        """See QuantizationConfig."""
        return METHOD

    def get_supported_act_dtypes(self) -> list[torch.dtype]:
        """See QuantizationConfig."""
        return [torch.float32, torch.bfloat16, torch.float16]

    @classmethod
    def get_min_capability(cls) -> int:
        """See QuantizationConfig; NAT runs on any device."""
        return 0

    @staticmethod
    def get_config_filenames() -> list[str]:
        """See QuantizationConfig."""
        return []

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> NsadConfig:
        """See QuantizationConfig.

        Raises:
            ValueError: The folder has another version of this format.
        """
        if config.get("version") != VERSION or not isinstance(config.get("tensors"), int):
            raise ValueError(
                f"this NAT folder has format version {config.get('version')}, and the installed nsad reads "
                f"{VERSION}: export it again with this nsad, or install the version that wrote it"
            )
        return cls(config["tensors"])

    def get_quant_method(self, layer: nn.Module, prefix: str) -> QuantizeMethodBase | None:  # noqa: ARG002  # vLLM's interface
        """See QuantizationConfig; only linear layers are changed.

        Raises:
            ValueError: The model is distributed over several devices.
        """
        if not isinstance(layer, LinearBase):
            return None
        parallel = get_current_vllm_config().parallel_config
        for name in ("tensor_parallel_size", "pipeline_parallel_size"):
            if getattr(parallel, name) > 1:
                raise ValueError(
                    f"{name} is {getattr(parallel, name)}, but nsad's plugin supports only one device: "
                    "omit that option, or serve the NCE student (nsad export --for vllm --model nce)"
                )
        return NatLinearMethod(self)

    def check_all_loaded(self) -> None:
        """Raise ValueError if vLLM's model has no layer for a tensor of the adapter."""
        if self.loaded != self.tensors:
            raise ValueError(
                f"only {self.loaded} of {self.tensors} tensors of the NAT adapter match a layer of vLLM's model: the "
                "folder is corrupt, or vLLM lacks some of the adapted projections; export it again, or use "
                "nsad --engine hf"
            )


class AdaptedLinear(nn.Module):
    """For type checkers: what we read and store in a linear layer of vLLM."""

    weight: Tensor
    bias: Tensor | None
    prefix: str
    skip_bias_add: bool
    nat_sizes: list[int]
    """The output sizes of its projections."""
    nat_tensors: dict[Any, dict[str, Tensor]]
    """While vLLM loads: each projection's tensors, by vLLM's name of it."""
    nat_places: tuple[tuple[int, int], ...]
    nat_units: Sequence[ServedUnit]
    """The adapted projections' start and end columns, and their units (a ModuleList)."""


class NatLinearMethod(LinearMethodBase):
    """Applies a linear layer as vLLM does, and then the NAT units of its adapted projections."""

    def __init__(self, config: NsadConfig) -> None:
        self.config, self.plain = config, UnquantizedLinearMethod()

    def create_weights(
        self,
        layer: AdaptedLinear,
        input_size_per_partition: int,
        output_partition_sizes: list[int],
        input_size: int,
        output_size: int,
        params_dtype: torch.dtype,
        **attributes: Any,
    ) -> None:
        """See LinearMethodBase; the adapter's parameters are empty placeholders whose loader collects the tensors."""
        sizes = (input_size_per_partition, output_partition_sizes, input_size, output_size)
        self.plain.create_weights(layer, *sizes, params_dtype, **attributes)
        layer.nat_sizes, layer.nat_tensors = output_partition_sizes, {}
        for name in (*BELOW, *REST):
            empty = torch.empty(0, dtype=tensor_dtype(name, params_dtype))
            parameter = nn.Parameter(empty, requires_grad=False)
            parameter.weight_loader = self._loader(layer, name)  # type: ignore[attr-defined]  # vLLM's convention
            layer.register_parameter(PREFIX + name, parameter)

    def _loader(self, layer: AdaptedLinear, name: str) -> Any:
        def load(parameter: nn.Parameter, tensor: Tensor, shard: Any = None) -> None:
            converted = tensor.to(device=parameter.device, dtype=parameter.dtype, copy=True)
            layer.nat_tensors.setdefault(shard, {})[name] = converted
            self.config.loaded += 1

        return load

    def process_weights_after_loading(self, layer: AdaptedLinear) -> None:
        """Append the units' input projections to the layer's weight, then let vLLM process the weight as usual.

        Raises:
            ValueError: A projection is not the one that the adapter was trained on, or a tensor has no layer.
        """
        self.config.check_all_loaded()
        for name in (*BELOW, *REST):
            delattr(layer, PREFIX + name)
        units = []
        for shard, tensors in layer.nat_tensors.items():
            start, stop = place(shard, layer.nat_sizes)
            self._check(layer, layer.weight[start:stop], tensors["check"])
            few_rows = layer.weight.device.type != "cpu"  # a GPU computes any number of them in about the same time
            units.append((start, stop, ServedUnit(tensors, fused=few_rows)))
        units.sort(key=lambda item: item[0])
        layer.nat_places = tuple((start, stop) for start, stop, _ in units)
        layer.nat_units = cast("Sequence[ServedUnit]", nn.ModuleList(unit for _, _, unit in units))
        del layer.nat_tensors
        if units:
            self._append(layer)
        self.plain.process_weights_after_loading(layer)

    def _check(self, layer: AdaptedLinear, weight: Tensor, expected: Tensor) -> None:
        weight, expected = weight.float(), expected.float()
        found = weight @ probe(weight)
        if found.shape != expected.shape or (found - expected).norm() > WEIGHT_TOLERANCE * expected.norm():
            raise ValueError(
                f"`{layer.prefix}` is not the projection that the NAT adapter was trained on: its weights were "
                "changed, or vLLM lays them out differently for this architecture; use nsad --engine hf"
            )
        if layer.skip_bias_add and layer.bias is not None:
            raise ValueError(
                f"`{layer.prefix}` returns its bias separately (skip_bias_add), which NAT does not support: use "
                "nsad --engine hf"
            )

    def _append(self, layer: AdaptedLinear) -> None:
        below, biases = zip(*(unit.take_below() for unit in layer.nat_units), strict=True)
        layer.weight = nn.Parameter(torch.cat([layer.weight.data, *below]), requires_grad=False)
        if layer.bias is not None:
            layer.bias = nn.Parameter(torch.cat([layer.bias.data, *biases]), requires_grad=False)

    def apply(self, layer: AdaptedLinear, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """See LinearMethodBase."""
        full: Tensor = self.plain.apply(layer, x, bias)
        if not layer.nat_places:
            return full
        width = sum(layer.nat_sizes)
        base, below = full.flatten(0, -2).split([width, full.shape[-1] - width], -1)
        lows = below.split([sum(unit.widths) for unit in layer.nat_units], -1)
        parts, done = [], 0
        for (start, stop), low, unit in zip(layer.nat_places, lows, layer.nat_units, strict=True):
            parts += [base[:, done:start]] if start > done else []
            parts.append(unit(base[:, start:stop], low))
            done = stop
        parts += [base[:, done:]] if done < width else []
        out = torch.cat(parts, -1) if len(parts) > 1 else parts[0]
        return out.view(*full.shape[:-1], width)


def place(shard: Any, sizes: list[int]) -> tuple[int, int]:
    """Return the start and end of a projection in its layer's output.

    Args:
        shard: vLLM's name of the projection: q, k or v, a number, several numbers, or None for the whole layer.
        sizes: The output sizes of the layer's projections.

    Returns:
        The start and end columns.

    Raises:
        ValueError: The name is unknown.
    """
    numbers = range(len(sizes)) if shard is None else shard if isinstance(shard, tuple) else (QKV.get(shard, shard),)
    if not all(isinstance(number, int) and number < len(sizes) for number in numbers):
        raise ValueError(f"vLLM names a part of a linear layer `{shard}`, which nsad's plugin does not support")
    start = sum(sizes[: min(numbers)])
    return start, start + sum(sizes[number] for number in numbers)
