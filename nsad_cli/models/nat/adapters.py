"""All adapters of a run over one copy of the base weights: add, switch, train, save, load."""

from __future__ import annotations

import contextlib
import hashlib
import json
import warnings
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.save_and_load import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from nsad_cli.errors import NsadError
from nsad_cli.models.nat.config import AdapterSettings, NatConfig
from nsad_cli.models.nat.layer import NatLinear, unit_matrices
from nsad_cli.models.nat.serving import PREFIX, served_tensors
from nsad_cli.utils.files import write_atomic
from nsad_cli.utils.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


class Adapters:
    """Named LoRA and NAT adapters on one base model; outside `use`, forward passes see the bare base."""

    def __init__(self, base: nn.Module) -> None:
        self._base = base
        self._peft: PeftModel | None = None
        self._active: str | None = None
        self._nat_layers: list[tuple[str, NatLinear]] = []
        for parameter in base.parameters():
            parameter.requires_grad_(False)

    @property
    def model(self) -> Any:
        """The PeftModel, or the bare base before the first adapter."""
        return self._peft if self._peft is not None else self._base

    @property
    def base(self) -> Any:
        """The base model whose forward goes through the adapters."""
        return self._peft.get_base_model() if self._peft is not None else self._base

    def names(self) -> list[str]:
        """The adapters in memory."""
        return list(self._peft.peft_config) if self._peft is not None else []

    def shapes(self) -> list[tuple[str, int, int]]:
        """Every adapted layer's path in the base, with its input and output width."""
        return [(path, layer.in_features, layer.out_features) for path, layer in self._nat_layers]

    # --- adding ---------------------------------------------------------------------------------------------------

    def add_lora(self, name: str, settings: AdapterSettings, seed: int) -> None:
        """Add an untrained LoRA; its start depends on the seed alone."""
        self._add(name, LoraConfig(**_lora_fields(settings)), seed)

    def add_nat(self, name: str, settings: AdapterSettings, negative: str, seed: int) -> None:
        """Add an untrained NAT adapter beside the negative LoRA `negative`, which must cover the same layers.

        Raises NsadError where it does not.
        """
        self._need(negative)
        config = NatConfig(
            **_lora_fields(settings),
            unit_size=settings.unit_size,
            unit_value=settings.unit_value,
            unit_targets=list(settings.unit_targets) if settings.unit_targets is not None else None,
            negative=negative,
            negative_hash=self._hash(negative),
        )
        self._add(name, config, seed)
        if not any(name in layer.nat_negative for layer in self._layers()):
            self.delete(name)
            raise NsadError(
                "no layer gets the integration unit",
                f"adapter.unit.targets = {settings.unit_targets}",
                "name linear layers that adapter.targets has too",
            )

    def _add(self, name: str, config: LoraConfig, seed: int) -> None:
        config._register_custom_module({nn.Linear: NatLinear})
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            # PEFT warns that a model which already has an adapter gets another one: that is the point here.
            warnings.filterwarnings("ignore", category=UserWarning, module="peft.*")
            warnings.filterwarnings("ignore", category=FutureWarning, module="transformers.*")  # PEFT uses old names
            torch.manual_seed(seed)
            try:
                if self._peft is None:
                    self._peft = get_peft_model(self._base, config, adapter_name=name)
                else:
                    self._peft.add_adapter(name, config)
            except ValueError as error:
                raise NsadError(
                    f"adapter `{name}` does not fit this student",
                    str(error),
                    "set adapter.targets to linear layers that the model has, the same for every stage",
                ) from error
        self._find_layers()
        foreign = [path for path, layer in self._lora_layers() if not isinstance(layer, NatLinear)]
        if foreign:
            raise NsadError(
                f"adapter `{name}` targets layers that are not linear",
                ", ".join(foreign[:3]),
                "set adapter.targets to linear layers",
            )
        self.train_only(None)
        self._activate(self._active)

    def delete(self, name: str) -> None:
        """Remove an adapter from memory."""
        self._need(name)
        assert self._peft is not None
        for layer in self._layers():
            layer.nat_alpha.pop(name, None)
            layer.nat_negative.pop(name, None)
        if len(self._peft.peft_config) == 1:
            self._base, self._peft = self._peft.unload(), None
        else:
            self._activate(next(other for other in self._peft.peft_config if other != name))
            self._peft.delete_adapter(name)
            self._activate(None)
        self._find_layers()
        self._active = None

    # --- using ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def use(self, name: str | None) -> Iterator[None]:
        """Run forward passes through one adapter, or the bare base for None; what was active before comes back.

        Unlike PEFT's set_adapter it touches no requires_grad, so a graph in the making stays whole.
        """
        if name is not None:
            self._need(name)
        before = self._active
        self._activate(name)
        try:
            yield
        finally:
            self._activate(before)

    def _activate(self, name: str | None) -> None:
        self._active = name
        for layer in self._layers():
            layer._disable_adapters = name is None
            if name is not None:
                layer._active_adapter = [name]

    def parameters_of(self, name: str) -> list[tuple[str, nn.Parameter]]:
        """An adapter's own parameters by name; NAT's do not include the negative adapter's."""
        self._need(name)
        return [(key, value) for key, value in self.model.named_parameters() if f".{name}." in key and "lora_" in key]

    def train_only(self, name: str | None) -> None:
        """Let gradients reach one adapter's parameters and no others; None freezes all."""
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        for _, parameter in self.parameters_of(name) if name is not None else []:
            parameter.requires_grad_(True)

    # --- α --------------------------------------------------------------------------------------------------------

    def record_alphas(self, on: bool) -> None:
        """Keep each NAT layer's mean gate from now on, or stop."""
        for layer in self._layers():
            layer.nat_record = on

    def alphas(self, name: str) -> dict[str, float]:
        """Mean gate a of every layer in its latest recorded forward pass, by the layer's path in the base."""
        found = [(path, layer.nat_alpha[name]) for path, layer in self._nat_layers if name in layer.nat_alpha]
        if not found:
            return {}
        values = torch.stack([value for _, value in found]).tolist()
        return {path: round(value, 5) for (path, _), value in zip(found, values, strict=True)}

    # --- saving and loading ---------------------------------------------------------------------------------------

    def save(self, name: str, folder: Path) -> None:
        """Save an adapter: safetensors and adapter_config.json; a LoRA's folder is stock PEFT's."""
        self._need(name)
        assert self._peft is not None
        config = self._peft.peft_config[name].to_dict()
        targets = config.get("target_modules")
        config.update(
            target_modules=sorted(targets) if isinstance(targets, set) else targets,
            base_model_name_or_path=getattr(self.base, "name_or_path", None) or None,
            inference_mode=True,
            nsad_version=__version__,
        )
        if not isinstance(self._peft.peft_config[name], NatConfig):
            config.pop("nsad_version")  # stock PEFT warns of keys that it does not know
        write_atomic(folder / WEIGHTS, save({key: value.contiguous() for key, value in self._state(name).items()}))
        write_atomic(folder / CONFIG, json.dumps(config, indent=2, sort_keys=True, default=str))

    def load(self, name: str, folder: Path, *, negative: str | None = None) -> None:
        """Load a LoRA or NAT folder under a name; NAT needs the very negative adapter that it was trained beside.

        Raises NsadError for a folder that holds no adapter, one of another shape, or a different negative adapter.
        """
        config, weights = self._read(folder)
        if isinstance(config, NatConfig):
            config.negative = negative or config.negative
            self._need(config.negative)
            if self._hash(config.negative) != config.negative_hash:
                raise NsadError(
                    f"NAT in {folder} was trained beside another negative adapter",
                    "the weights of the one loaded here differ from those it saw",
                    "load both from the same run, or train NAT again with `nsad train-nat`",
                )
        self._add(name, config, seed=0)
        expected = {key: value.shape for key, value in self._state(name).items()}
        if expected != {key: value.shape for key, value in weights.items()}:
            self.delete(name)
            raise NsadError(
                f"the adapter in {folder} does not fit this student",
                "its layers have other names or shapes",
                "use the student that the adapter was trained on",
            )
        assert self._peft is not None
        set_peft_model_state_dict(self._peft, weights, adapter_name=name)

    @staticmethod
    def _read(folder: Path) -> tuple[LoraConfig, dict[str, Tensor]]:
        try:
            values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            kind = NatConfig if values.get("nsad_kind") == "nat" else LoraConfig
            values = {key: value for key, value in values.items() if key in kind.__dataclass_fields__}
            return kind(**values), load_file(folder / WEIGHTS)
        except (OSError, ValueError, TypeError, AttributeError, SafetensorError) as error:
            raise NsadError(
                f"{folder} holds no usable adapter",
                str(error) or type(error).__name__,
                "give a folder with adapter_config.json and adapter_model.safetensors, or train that stage again",
            ) from error

    @torch.no_grad()
    def merge(self, name: str) -> Any:
        """Add a LoRA to the base weights, each sum in float32 and then in the weight's own dtype; no adapter is left.

        Returns the base model, plain again. Raises NsadError for NAT, which no weight equals, and for a layer that
        shares its weight with the embeddings.
        """
        self._need(name)
        assert self._peft is not None
        if self.is_nat(name):
            raise NsadError(
                f"the adapter `{name}` cannot be merged",
                "NAT's gate depends on the input, so no weight equals it",
                "merge a LoRA, such as the NCE student",
            )
        if getattr(self.base, "is_quantized", False):
            raise NsadError(
                f"the adapter `{name}` cannot be merged",
                "the base's weights are in 4 bits, which its sums do not fit into",
                "export the LoRA itself with --lora",
            )
        embeddings = self.base.get_input_embeddings().weight
        for path, layer in self._nat_layers:
            if name in layer.lora_A and layer.get_base_layer().weight is embeddings:
                raise NsadError(
                    f"the adapter `{name}` cannot be merged",
                    f"`{path}` shares its weight with the embeddings, which would change with it",
                    "export the LoRA itself with --lora",
                )
        for layer in self._layers():
            if name in layer.lora_A:
                weight = layer.get_base_layer().weight
                weight.copy_(weight.float() + layer.get_delta_weight(name).float())
        return self.bare()

    def bare(self) -> Any:
        """The base model without any adapter in memory."""
        for other in self.names():
            self.delete(other)
        return self._base

    def served(self, name: str) -> dict[str, Tensor]:
        """A NAT adapter's tensors as a server takes them (nat/served.py), by their projection's path in the base.

        Raises NsadError where a projection is not a plain one: in 4 bits, or sharing its weight with the embeddings.
        """
        self._need(name)
        embeddings = self.base.get_input_embeddings().weight
        found: dict[str, Tensor] = {}
        for path, layer in self._nat_layers:
            if name not in layer.lora_A:
                continue
            plain = layer.get_base_layer()
            if getattr(self.base, "is_quantized", False) or plain.weight is embeddings:
                why = "shares its weight with the embeddings" if plain.weight is embeddings else "is in 4 bits"
                raise NsadError(
                    f"the adapter `{name}` cannot be served by vLLM",
                    f"`{path}` {why}",
                    "train it on other layers, or with student.load_in_4bit off",
                )
            scales = layer.scaling[name], layer.scaling[layer.nat_negative.get(name, name)]
            tensors = served_tensors(unit_matrices(layer, name), *scales, plain.weight, plain.bias)
            found |= {f"{path}.{PREFIX}{key}": value for key, value in tensors.items()}
        return found

    def is_nat(self, name: str) -> bool:
        """Whether an adapter is NAT's, not a plain LoRA."""
        self._need(name)
        assert self._peft is not None
        return isinstance(self._peft.peft_config[name], NatConfig)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _state(self, name: str) -> dict[str, Tensor]:
        state: dict[str, Tensor] = get_peft_model_state_dict(self._peft, adapter_name=name, save_embedding_layers=False)
        return state

    def _hash(self, name: str) -> str:
        digest = hashlib.sha256()
        for key, value in sorted(self._state(name).items()):
            digest.update(key.encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def _find_layers(self) -> None:
        """Remember the adapted layers: switching adapters at every token must not walk the whole model."""
        self._nat_layers = [
            (path, module) for path, module in self.base.named_modules() if isinstance(module, NatLinear)
        ]

    def _layers(self) -> list[NatLinear]:
        return [layer for _, layer in self._nat_layers]

    def _lora_layers(self) -> Iterator[tuple[str, nn.Module]]:
        from peft.tuners.lora import LoraLayer

        for path, module in self.base.named_modules():
            if isinstance(module, LoraLayer):
                yield path, module

    def _need(self, name: str) -> None:
        if name not in self.names():
            raise NsadError(
                f"no adapter `{name}` is loaded",
                f"loaded: {', '.join(self.names()) or 'none'}",
                "train or load it first",
            )


def _lora_fields(settings: AdapterSettings) -> dict[str, Any]:
    targets = settings.targets if isinstance(settings.targets, str) else list(settings.targets)
    return {
        "r": settings.r,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "target_modules": targets,
        "bias": "none",
        "task_type": "CAUSAL_LM",
    }
