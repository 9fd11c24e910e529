"""The encoder ranker: a model of its own, any sequence classifier or T5 encoder of transformers, trained whole.

It reads the question and the chain as a pair, by its own tokenizer. A T5 encoder, the reference's ranker (flan-t5,
arXiv 2312.12832), gets a head on the mean of its states at the chain's tokens; a classifier has one of its own, with
one label. Inputs over 512 tokens, or over what the model takes, lose their beginning, the longer part first: a chain
states its answer at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoModelForTextEncoding, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as CLASSIFIERS

from nsad_cli.config.ranker_kinds import ENCODER
from nsad_cli.errors import NsadError, first_line
from nsad_cli.models.host_copies import all_to_device
from nsad_cli.models.packing import Example
from nsad_cli.rankers.base import ScoreHead, Scorer, mean_rows
from nsad_cli.utils.hub import require_hub

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.models.nat.adapters import Adapters
    from nsad_cli.models.student import Student
    from nsad_cli.rankers.base import RankerContext

TOKENS = 512
"""Of question and chain together, at most: the reference's."""
POOLED = ("t5", "mt5", "umt5")
"""Encoders that have no head of their own for us to use."""


@dataclass(frozen=True, slots=True)
class Padded:
    """S inputs of at most T tokens: ids, mask and kind of token [S,T]; `completion` is true at the chain's tokens."""

    input_ids: Tensor
    mask: Tensor
    completion: Tensor
    tokens: int

    def to(self, device: torch.device) -> Padded:
        """The same on a device."""
        input_ids, mask, completion = all_to_device([self.input_ids, self.mask, self.completion], device)
        return Padded(input_ids, mask, completion, self.tokens)


class EncoderScorer(Scorer):
    """A classifier with one label, or an encoder with a head (which is None for a classifier)."""

    kind = ENCODER
    on_base = False

    def __init__(self, model: Any, tokenizer: Any, head: ScoreHead | None, device: torch.device) -> None:
        super().__init__()
        self.model, self.tokenizer = model.to(device), tokenizer
        self.head = None if head is None else head.to(device)
        own = getattr(model.config, "max_position_embeddings", None) or TOKENS
        self.limit = min(TOKENS, own, tokenizer.model_max_length)
        self.segments = "token_type_ids" in tokenizer.model_input_names

    @classmethod
    def create(cls, context: RankerContext) -> EncoderScorer:
        """See Scorer.create."""
        device, settings = context.adapters.model.device, context.settings
        return open_encoder(settings.model, device, context.seed, residual=settings.head == "residual")

    @classmethod
    def restore(cls, student: Student, adapters: Adapters, folder: Path, tensors: dict[str, Tensor]) -> EncoderScorer:  # noqa: ARG003  # see Scorer
        """See Scorer.restore; the folder has model and tokenizer, and the tensors are the head's."""
        residual = any(name.startswith("first.") for name in tensors)
        scorer = open_encoder(str(folder), adapters.model.device, seed=0, residual=residual)
        if scorer.head is not None:
            scorer.head.load_state_dict(tensors)
        return scorer

    def example(self, question: str, text: str, *, ended: bool = True) -> Example:  # noqa: ARG002  # see Scorer
        """The pair of question and chain; everything from the chain's first token on is the completion."""
        pair = self.tokenizer(question, text.strip(), truncation="longest_first", max_length=self.limit)
        ids, parts = tuple(pair["input_ids"]), pair.sequence_ids(0)
        start = parts.index(1) if 1 in parts else len(ids)
        return Example(ids[:start], ids[start:])

    def trained(self) -> dict[str, nn.Parameter]:
        """Every parameter of the model, and the head's."""
        return dict(self.named_parameters())

    def pack(self, examples: Sequence[Example]) -> Padded:
        """Inputs padded to the longest."""
        width = max(map(len, examples))
        ids = torch.full((len(examples), width), self.tokenizer.pad_token_id)
        mask, completion = torch.zeros_like(ids), torch.zeros_like(ids)
        for row, example in enumerate(examples):
            ids[row, : len(example)] = torch.tensor([*example.prompt, *example.completion])
            mask[row, : len(example)] = 1
            completion[row, len(example.prompt) : len(example)] = 1
        return Padded(ids, mask, completion, sum(map(len, examples)))

    def logits(self, batch: Padded) -> Tensor:
        """See Scorer.logits."""
        inputs = {"input_ids": batch.input_ids, "attention_mask": batch.mask}
        if self.head is None:
            if self.segments:
                inputs["token_type_ids"] = batch.completion
            scores: Tensor = self.model(**inputs).logits
            return scores.squeeze(-1).float()
        hidden = self.model(**inputs).last_hidden_state
        rows, places = batch.completion.nonzero(as_tuple=True)
        pooled: Tensor = self.head(mean_rows(hidden[rows, places], rows, len(hidden)))
        return pooled

    def save(self, folder: Path) -> None:
        """Save model and tokenizer as transformers do, in safetensors."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


class ResidualHead(ScoreHead):
    """The reference code's head: two residual ELU layers, then a linear one; d_hidden → 1, in float32."""

    def __init__(self, hidden: int, seed: int) -> None:
        super().__init__(hidden, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first, self.second = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)

    def forward(self, pooled: Tensor) -> Tensor:
        """[S,d] → [S], without autocast."""
        with torch.autocast(pooled.device.type, enabled=False):
            hidden = pooled.to(self.weight.dtype)
            for layer in (self.first, self.second):
                hidden = hidden + nn.functional.elu(layer(hidden))
            return super().forward(hidden)


def open_encoder(spec: str, device: torch.device, seed: int, *, residual: bool = False) -> EncoderScorer:
    """A folder's or the Hub's model (an id with an optional @REVISION) as a ranker; missing weights are seeded.

    On the meta device it has shapes alone, in no time and memory.

    Args:
        spec: The folder or id.
        device: The device.
        seed: The seed of missing weights.
        residual: Whether a T5 encoder gets a ResidualHead instead of a linear one.

    Returns:
        The scorer.

    Raises:
        NsadError: It does not exist, is neither a classifier nor a T5 encoder, or has no usable tokenizer.
    """
    source, revision = _find(spec)
    try:
        config = AutoConfig.from_pretrained(source, revision=revision)
        if config.model_type not in CLASSIFIERS and config.model_type not in POOLED:
            raise NsadError(
                f"`{spec}` cannot rank",
                f"models of the kind `{config.model_type}` have no sequence classifier, and are no T5",
                "give a model such as google/flan-t5-base or microsoft/deberta-v3-base",
            )
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, truncation_side="left")
        pooled = config.model_type in POOLED
        kind: Any = AutoModelForTextEncoding if pooled else AutoModelForSequenceClassification
        more = {} if pooled else {"num_labels": 1, "ignore_mismatched_sizes": True}
        with torch.random.fork_rng(devices=[]), torch.device(device if device.type == "meta" else "cpu"):
            torch.manual_seed(seed)
            if device.type == "meta":
                config.num_labels = 1
                model = kind.from_config(config, dtype=torch.float32)
            else:
                model = kind.from_pretrained(source, revision=revision, dtype=torch.float32, **more)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise NsadError(
            f"cannot load the encoder `{spec}`",
            first_line(error),
            "give a folder with config.json, tokenizer and safetensors weights, or a Hub id",
        ) from error
    if why := _unusable(tokenizer):
        raise NsadError(
            f"the tokenizer of `{spec}` cannot be used",
            why,
            "use an encoder with a tokenizer.json that knows digits and names a padding token",
        )
    model.config.pad_token_id = tokenizer.pad_token_id
    head = (ResidualHead if residual else ScoreHead)(config.d_model, seed) if pooled else None
    return EncoderScorer(model, tokenizer, head, device)


def _unusable(tokenizer: Any) -> str:
    """Return why a tokenizer is unusable; transformers creates an empty one for a model without."""
    if not tokenizer.is_fast:
        return "it does not tell which tokens are the chain's"
    if tokenizer.pad_token_id is None:
        return "it has no padding token"
    known = set(tokenizer("7", add_special_tokens=False)["input_ids"]) - {tokenizer.unk_token_id}
    return "" if known else "it does not know the digit 7: the model came without a vocabulary"


def _find(spec: str) -> tuple[str, str | None]:
    path = Path(spec).expanduser()
    if path.is_dir():
        return str(path), None
    if path.exists() or spec.startswith((".", "/", "~")):
        raise NsadError(f"the encoder `{spec}` is not there", "no such folder", "check training.ranker.model")
    name, _, revision = spec.partition("@")
    require_hub(f"the encoder `{spec}`", "give the path of a downloaded folder as training.ranker.model", repo=name)
    return name, revision or None
