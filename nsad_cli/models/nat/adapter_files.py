"""Saving adapters to folders and loading them; a LoRA's folder is the same as one that PEFT saves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from peft import LoraConfig
from peft.utils.save_and_load import set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from nsad_cli.errors import NsadError
from nsad_cli.models.nat.config import NatConfig
from nsad_cli.utils.files import write_atomic
from nsad_cli.utils.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from nsad_cli.models.nat.adapters import Adapters

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def save_adapter(adapters: Adapters, name: str, folder: Path) -> None:
    """Save an adapter as adapter_model.safetensors and adapter_config.json."""
    peft_config = adapters.config(name)
    config = peft_config.to_dict()
    targets = config.get("target_modules")
    config.update(
        target_modules=sorted(targets) if isinstance(targets, set) else targets,
        base_model_name_or_path=getattr(adapters.base, "name_or_path", None) or None,
        inference_mode=True,
        nsad_version=__version__,
    )
    if not isinstance(peft_config, NatConfig):
        config.pop("nsad_version")  # stock PEFT warns of keys that it does not know
    write_atomic(folder / WEIGHTS, save({key: value.contiguous() for key, value in adapters.state(name).items()}))
    write_atomic(folder / CONFIG, json.dumps(config, indent=2, sort_keys=True, default=str))


def load_adapter(adapters: Adapters, name: str, folder: Path, *, negative: str | None = None) -> None:
    """Load a LoRA or NAT adapter from its folder.

    Args:
        adapters: The adapters to add it to.
        name: The name to load it under.
        folder: The folder that `save_adapter` wrote.
        negative: The loaded negative adapter that a NAT adapter refers to; None takes the name in its config.

    Raises:
        NsadError: The folder holds no adapter, or one of other shapes, or a NAT adapter that was trained with
            another negative adapter.
    """
    config, weights = _read(folder)
    require_finite(weights, folder)
    if isinstance(config, NatConfig):
        config.negative = negative or config.negative
        if adapters.fingerprint(config.negative) != config.negative_hash:
            raise NsadError(
                f"NAT in {folder} was trained beside another negative adapter",
                "the weights of the one loaded here differ from those it saw",
                "load both from the same run, or train NAT again with `nsad train-nat`",
            )
    adapters.add(name, config, seed=0)
    expected = {key: value.shape for key, value in adapters.state(name).items()}
    if expected != {key: value.shape for key, value in weights.items()}:
        adapters.delete(name)
        raise NsadError(
            f"the adapter in {folder} does not fit this student",
            "its layers have other names or shapes",
            "use the student that the adapter was trained on",
        )
    set_peft_model_state_dict(adapters.model, weights, adapter_name=name)


def require_finite(weights: Mapping[str, Tensor], folder: Path) -> None:
    """Check loaded weights.

    Raises:
        NsadError: One is infinite or not a number.
    """
    for name, value in weights.items():
        if not bool(value.isfinite().all()):
            raise NsadError(
                f"the weights in {folder} cannot be used",
                f"{name} contains values that are infinite or not numbers",
                "train that stage again, with a lower learning rate if it happens again",
            )


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
