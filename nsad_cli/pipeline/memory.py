"""Size estimates of a student's stages: trained parameters from layer shapes, and memory by arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from nsad_cli.config.stages import RANKER, STUDENT, Stage
from nsad_cli.models.lm_head import CHUNK_TOKENS
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.packed_weights import packed_bytes

if TYPE_CHECKING:
    from nsad_cli.models.nat.config import AdapterSettings

GIB = 2**30
NF4 = 0.516
"""Bytes per number: four bits, and a one-byte scale per 64 numbers."""
FLOAT32 = 4
"""Bytes per number: adapters, gradients and the optimizer's two moments are in float32 for every dtype of the base."""
LOGIT_COPIES = 3
"""Logits, their log-softmax and its gradient are in memory at once, in float32."""
TEACHER_COPIES = 3
"""Additional copies of the logits for the frozen teachers of a student."""
WHOLE_COPIES = 9
"""Copies of the logits of all tokens of a pack, and of their gradients, where they are not computed in chunks."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Parameters of the base, one LoRA, the integration unit and the ranker's head, with the model's dimensions."""

    base: int
    base_bytes: float
    bytes_each: int
    """Bytes per number of the base's activations."""
    lora: int
    unit: int
    unit_kept: int
    """Numbers per token that all units together save for the backward pass."""
    head: int
    hidden: int
    inner: int
    """Width of the feed-forward layers."""
    layers: int
    cached: int
    """Numbers per token in one layer's KV cache."""
    vocabulary: int
    packed: int
    """Bytes of the weights that sampling packs, beside the plain ones."""

    def trained(self, stage: Stage) -> tuple[int, int]:
        """Return the trained LoRA parameters (of a scorer including its head) and unit parameters of a stage."""
        return self.lora + (self.head if stage.adapter == "scorer" else 0), self.unit if stage.adapter == "nat" else 0

    def adapters(self, stage: Stage) -> int:
        """Return the parameters of all adapters in memory while a stage trains."""
        return stage.cost.loras * self.lora + (self.unit if stage.cost.unit else 0)

    def weights_gib(self) -> float:
        """Return the size of the base's weights."""
        return self.base_bytes / GIB

    def training_gib(self, stage: Stage, tokens: float) -> float:
        """Estimate the memory of a stage that trains on packs of `tokens` tokens.

        It consists of weights, adapters, gradients, optimizer, and saved activations: about 9 hidden and 4 inner widths
        per layer and token, those of the unit, and one chunk of logits, or those of the whole pack.
        """
        cost, adapters = stage.cost, self.adapters(stage)
        width = self.layers * (9 * self.hidden + 4 * self.inner) + (self.unit_kept if stage.adapter == "nat" else 0)
        kept = tokens * width * self.bytes_each
        copies = (LOGIT_COPIES + (TEACHER_COPIES if cost.teachers else 0)) if cost.logits else 0
        logits = copies * min(tokens, CHUNK_TOKENS) * self.vocabulary * FLOAT32
        if cost.pack is not None:
            logits = WHOLE_COPIES * tokens * self.vocabulary * FLOAT32
        return self.weights_gib() + (FLOAT32 * (adapters + 3 * sum(self.trained(stage))) + kept + logits) / GIB

    def reading_gib(self, tokens: float) -> float:
        """Estimate the memory of a forward pass over `tokens` tokens: weights, adapters, one layer's activations."""
        made = tokens * (9 * self.hidden + 4 * self.inner) * self.bytes_each
        return self.weights_gib() + (FLOAT32 * self.adapters(STUDENT) + made) / GIB

    def sampling_gib(self, rows: int, tokens: float) -> float:
        """Estimate the memory of sampling `rows` chains of `tokens` tokens each, including prompts, at once."""
        cache = rows * tokens * self.layers * self.cached * self.bytes_each
        numbers = self.adapters(RANKER) + rows * self.vocabulary
        return self.weights_gib() + (self.packed + cache + FLOAT32 * numbers) / GIB


@dataclass(frozen=True, slots=True)
class EncoderFootprint:
    """An encoder ranker, in addition to the student; all its parameters are trained, in float32."""

    parameters: int
    width: int
    """Numbers per token saved for the backward pass."""

    def training_gib(self, tokens: float) -> float:
        """Estimate the memory of training on `tokens` tokens: weights, gradients, two moments, activations."""
        return FLOAT32 * (4 * self.parameters + tokens * self.width) / GIB


def measure_encoder(scorer: nn.Module, config: Any) -> EncoderFootprint:
    """Count an encoder ranker's parameters; it may be on the meta device."""
    inner = getattr(config, "intermediate_size", None) or getattr(config, "d_ff", None) or 4 * config.hidden_size
    width = config.num_hidden_layers * (9 * config.hidden_size + 4 * inner)
    return EncoderFootprint(sum(parameter.numel() for parameter in scorer.parameters()), width)


def measure(
    model: Any, settings: AdapterSettings, load_in_4bit: bool = False, device: torch.device | None = None
) -> Footprint:
    """Count a model's parameters and those of its adapters.

    Args:
        model: The model; it may be on the meta device. An adapter is added to it.
        settings: The adapters' settings.
        load_in_4bit: Whether linear layers will be quantized to 4 bits.
        device: The device that it will run on; None for the CPU.

    Returns:
        The footprint.

    Raises:
        NsadError: The settings match no linear layer of the model.
    """
    base = sum(parameter.numel() for parameter in model.parameters())
    each = next(model.parameters()).element_size()
    head = model.get_output_embeddings()
    layers = [m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear) and m is not head]
    packed = sum(layers) if load_in_4bit else 0
    sampling = 0 if load_in_4bit else packed_bytes(model, device or torch.device("cpu"))
    config = model.config.get_text_config()
    adapters = Adapters(model)
    adapters.add_lora("shape", settings, 0)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    units = [
        (inputs, outputs)
        for path, inputs, outputs in adapters.layers.shapes()
        if settings.unit_targets is None or path.rpartition(".")[2] in settings.unit_targets
    ]
    return Footprint(
        base=base,
        base_bytes=(base - packed) * each + packed * NF4,
        bytes_each=each,
        lora=sum(parameter.numel() for _, parameter in adapters.parameters_of("shape")),
        unit=sum(_unit(settings, *shape) for shape in units),
        unit_kept=sum(8 * settings.unit_size + outputs for _, outputs in units),
        head=config.hidden_size + 1,
        hidden=config.hidden_size,
        inner=getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
        layers=config.num_hidden_layers,
        cached=2 * heads * head_width,
        vocabulary=config.vocab_size,
        packed=sampling,
    )


def _unit(settings: AdapterSettings, inputs: int, outputs: int) -> int:
    """Count a unit's parameters: Q, K, and V's two matrices if it is an MLP."""
    return settings.unit_size * (inputs + outputs + (2 * outputs if settings.unit_value != "identity" else 0))
