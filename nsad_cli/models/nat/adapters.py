"""All adapters of a run over one copy of the base weights; see `adapter_files` for saving and loading."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.utils.save_and_load import get_peft_model_state_dict
from torch import Tensor, nn

from nsad_cli.errors import NsadError
from nsad_cli.models.nat.adapted_layers import AdaptedLayers
from nsad_cli.models.nat.config import AdapterSettings, NatConfig
from nsad_cli.models.nat.layer import NatLinear

if TYPE_CHECKING:
    from collections.abc import Iterator


class Adapters:
    """Named LoRA and NAT adapters on one base model; outside `use`, forward passes run through the bare base."""

    def __init__(self, base: nn.Module) -> None:
        self._base = base
        self._peft: PeftModel | None = None
        self.layers = AdaptedLayers()
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
        """List the adapters in memory."""
        return list(self._peft.peft_config) if self._peft is not None else []

    def require(self, name: str) -> None:
        """Check that an adapter is in memory.

        Raises:
            NsadError: It is not.
        """
        if name not in self.names():
            raise NsadError(
                f"no adapter `{name}` is loaded",
                f"loaded: {', '.join(self.names()) or 'none'}",
                "train or load it first",
            )

    # --- adding and deleting --------------------------------------------------------------------------------------

    def add_lora(self, name: str, settings: AdapterSettings, seed: int) -> None:
        """Add an untrained LoRA; its initial weights depend on the seed alone."""
        self.add(name, LoraConfig(**_lora_fields(settings)), seed)

    def add_nat(self, name: str, settings: AdapterSettings, negative: str, seed: int) -> None:
        """Add an untrained NAT adapter.

        Args:
            name: The adapter's name.
            settings: Its rank, targets and integration unit.
            negative: The negative LoRA, which must be in memory and cover the same layers.
            seed: Determines the initial weights.

        Raises:
            NsadError: The negative LoRA is not in memory, or no layer gets the integration unit.
        """
        config = NatConfig(
            **_lora_fields(settings),
            unit_size=settings.unit_size,
            unit_value=settings.unit_value,
            unit_gate=settings.unit_gate,
            unit_targets=list(settings.unit_targets) if settings.unit_targets is not None else None,
            negative=negative,
            negative_hash=self.fingerprint(negative),
        )
        self.add(name, config, seed)
        if not any(name in layer.nat_negative for _, layer in self.layers):
            self.delete(name)
            raise NsadError(
                "no layer gets the integration unit",
                f"adapter.unit.targets = {settings.unit_targets}",
                "name linear layers that adapter.targets has too",
            )

    def add(self, name: str, config: LoraConfig, seed: int) -> None:
        """Add an untrained adapter with a PEFT config.

        Raises:
            NsadError: Its targets are missing in the model, or are not linear layers.
        """
        config._register_custom_module({nn.Linear: NatLinear})
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            # PEFT warns that the model already has an adapter, which is intended here.
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
        self.layers.find(self.base)
        foreign = [
            path
            for path, module in self.base.named_modules()
            if isinstance(module, LoraLayer) and not isinstance(module, NatLinear)
        ]
        if foreign:
            raise NsadError(
                f"adapter `{name}` targets layers that are not linear",
                ", ".join(foreign[:3]),
                "set adapter.targets to linear layers",
            )
        self.train_only(None)
        self.layers.activate(self.layers.active)

    def delete(self, name: str) -> None:
        """Remove an adapter from memory; forward passes then run through the bare base."""
        self.require(name)
        assert self._peft is not None
        self.layers.forget(name)
        if len(self._peft.peft_config) == 1:
            self._base, self._peft = self._peft.unload(), None
        else:
            self.layers.activate(next(other for other in self._peft.peft_config if other != name))
            self._peft.delete_adapter(name)
            self.layers.activate(None)
        self.layers.find(self.base)
        self.layers.active = None

    def remove_all(self) -> Any:
        """Remove every adapter from memory and return the base model."""
        for name in self.names():
            self.delete(name)
        return self._base

    # --- using and training ---------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def use(self, name: str | None) -> Iterator[None]:
        """Run forward passes through one adapter, or the bare base for None; afterwards the previous one is active."""
        if name is not None:
            self.require(name)
        before = self.layers.active
        self.layers.activate(name)
        try:
            yield
        finally:
            self.layers.activate(before)

    def parameters_of(self, name: str) -> list[tuple[str, nn.Parameter]]:
        """List an adapter's own parameters by name; NAT's do not include those of its negative adapter."""
        self.require(name)
        return [(key, value) for key, value in self.model.named_parameters() if f".{name}." in key and "lora_" in key]

    def train_only(self, name: str | None) -> None:
        """Enable gradients for the parameters of one adapter only; None freezes all."""
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        for _, parameter in self.parameters_of(name) if name is not None else []:
            parameter.requires_grad_(True)

    @torch.no_grad()
    def copy_weights(self, source: str, target: str) -> None:
        """Copy the weights of a LoRA to another one of the same shape."""
        weights = dict(self.parameters_of(source))
        for key, parameter in self.parameters_of(target):
            parameter.copy_(weights[key.replace(f".{target}.", f".{source}.")])

    # --- contents -------------------------------------------------------------------------------------------------

    def config(self, name: str) -> LoraConfig:
        """The PEFT config of an adapter."""
        self.require(name)
        assert self._peft is not None
        config = self._peft.peft_config[name]
        assert isinstance(config, LoraConfig)
        return config

    def is_nat(self, name: str) -> bool:
        """Whether an adapter is NAT's, not a plain LoRA."""
        return isinstance(self.config(name), NatConfig)

    def state(self, name: str) -> dict[str, Tensor]:
        """The weights of an adapter by the names that PEFT saves them under."""
        state: dict[str, Tensor] = get_peft_model_state_dict(self._peft, adapter_name=name, save_embedding_layers=False)
        return state

    def fingerprint(self, name: str) -> str:
        """Hash an adapter's weights: a NAT adapter names in its config the weights of its negative adapter."""
        self.require(name)
        digest = hashlib.sha256()
        for key, value in sorted(self.state(name).items()):
            digest.update(key.encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


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
