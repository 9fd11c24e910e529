"""The ranker: a LoRA and a score head on the student's own base, so no second model is in memory.

A chain's score is the sigmoid of a linear head on the mean of its tokens' last hidden states. The reference scores
with a flan-t5 encoder instead (a deviation of ours: the same base serves both).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from transformers import DynamicCache

from nsad_cli.errors import NsadError
from nsad_cli.files import write_atomic
from nsad_cli.nat.adapters import Adapters
from nsad_cli.students import Student
from nsad_cli.types import Chain, Problem

ADAPTER = "ranker"
HEAD_FILE = "head.safetensors"


class ScoreHead(nn.Linear):
    """d_hidden → 1, in float32; initialised by seed."""

    def __init__(self, hidden: int, seed: int) -> None:
        super().__init__(hidden, 1)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.weight.normal_(0, hidden**-0.5, generator=generator)
            self.bias.zero_()


def pooled_scores(adapters: Adapters, head: ScoreHead, batch: dict[str, Tensor]) -> Tensor:
    """Scores in [0, 1] of a batch of right-padded sequences [B,T] whose `pool` mask marks the chains' tokens → [B]."""
    with adapters.use(ADAPTER):
        hidden = _decoder(adapters)(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
        ).last_hidden_state
    return _pooled(head, hidden, batch["pool"])


def _decoder(adapters: Adapters) -> Any:
    """The base without its vocabulary head."""
    return getattr(adapters.base, adapters.base.base_model_prefix)


def _pooled(head: ScoreHead, hidden: Tensor, pool: Tensor) -> Tensor:
    with torch.autocast(hidden.device.type, enabled=False):  # bfloat16 scores near 0 or 1 would tie
        weights = pool.unsqueeze(-1).to(head.weight.dtype)
        mean = (hidden.to(head.weight.dtype) * weights).sum(1) / weights.sum(1).clamp(min=1)
        return torch.sigmoid(head(mean).squeeze(-1))


def ranker_batch(pairs: Sequence[tuple[Sequence[int], Sequence[int]]], pad: int) -> dict[str, Any]:
    """Pad (prompt, completion) token ids on the right: input_ids, attention_mask and pool [B,T]."""
    width = max(len(prompt) + len(completion) for prompt, completion in pairs)
    inputs = torch.full((len(pairs), width), pad)
    mask, pool = torch.zeros_like(inputs), torch.zeros_like(inputs)
    for row, (prompt, completion) in enumerate(pairs):
        end = len(prompt) + len(completion)
        inputs[row, :end] = torch.tensor([*prompt, *completion])
        mask[row, :end] = 1
        pool[row, len(prompt) : end] = 1
    return {"input_ids": inputs, "attention_mask": mask, "pool": pool}


class HeadRanker:
    """Scores chains with a trained LoRA and head."""

    def __init__(self, student: Student, adapters: Adapters, head: ScoreHead, name: str, batch_size: int = 16) -> None:
        self.student, self.adapters, self.head, self.name, self.batch_size = student, adapters, head, name, batch_size

    @torch.inference_mode()
    def score(self, problem: Problem, chains: Sequence[Chain]) -> list[float | None]:
        """Score each chain of a problem in [0, 1]; None for an empty one. The prompt is run once for all of them."""
        self.adapters.model.eval()
        self.head.eval()
        scores: list[float | None] = [None] * len(chains)
        filled = [index for index, chain in enumerate(chains) if chain.text.strip()]
        filled.sort(key=lambda index: len(chains[index].text))
        prompt = self.student.prompt_ids(problem.question)
        for start in range(0, len(filled), self.batch_size):
            part = filled[start : start + self.batch_size]
            completions = [self.student.completion_ids(chains[index].text) for index in part]
            for index, score in zip(part, self._scores(prompt, completions), strict=True):
                scores[index] = score
        return scores

    def _scores(self, prompt: Sequence[int], completions: Sequence[Sequence[int]]) -> list[float]:
        device = self.adapters.model.device
        batch = ranker_batch([((), completion) for completion in completions], self.student.pad_id)
        inputs, pool = batch["input_ids"].to(device), batch["pool"].to(device)
        cache = DynamicCache()
        decoder = _decoder(self.adapters)
        with self.adapters.use(ADAPTER):
            decoder(input_ids=torch.tensor([list(prompt)], device=device), past_key_values=cache, use_cache=True)
            cache.batch_repeat_interleave(len(completions))
            hidden = decoder(
                input_ids=inputs,
                attention_mask=torch.cat([pool.new_ones(len(completions), len(prompt)), pool], 1),
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state
        return _pooled(self.head, hidden, pool).tolist()


def save_ranker(adapters: Adapters, head: ScoreHead, folder: Path) -> None:
    """Save LoRA and head, safetensors only."""
    adapters.save(ADAPTER, folder)
    weights = {name: value.detach().contiguous() for name, value in head.state_dict().items()}
    write_atomic(folder / HEAD_FILE, save(weights))


def load_ranker(student: Student, adapters: Adapters, folder: Path) -> HeadRanker:
    """Load a ranker onto the student's base; its name is a hash of its head, so that scores tell rankers apart.

    Raises NsadError where the folder holds no ranker.
    """
    path = folder / HEAD_FILE
    if not path.is_file():
        raise NsadError(f"{folder} holds no ranker", f"{HEAD_FILE} is missing", "train one with `nsad train-ranker`")
    adapters.load(ADAPTER, folder)
    weights = load_file(path)
    head = ScoreHead(weights["weight"].shape[1], seed=0)
    head.load_state_dict(weights)
    head.to(adapters.model.device)
    name = f"head-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
    return HeadRanker(student, adapters, head, name)
