"""The ranker: a LoRA and a score head on the student's own base, so no second model is in memory.

A chain's score is the sigmoid of a linear head on the mean of its tokens' last hidden states. The reference scores
with a flan-t5 encoder instead (a deviation of ours: the same base serves both).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from nsad_cli.errors import NsadError
from nsad_cli.files import write_atomic
from nsad_cli.nat.adapters import Adapters
from nsad_cli.packing import Example, Pack, enable_packing, fill, hidden_states, pack
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


def pooled_scores(adapters: Adapters, head: ScoreHead, batch: Pack) -> Tensor:
    """Scores in [0, 1] of a pack's S chains, whose last tokens are inputs too → [S]."""
    with adapters.use(ADAPTER):
        hidden = hidden_states(adapters.base, batch)[batch.completion]
    with torch.autocast(hidden.device.type, enabled=False):  # bfloat16 scores near 0 or 1 would tie
        hidden = hidden.to(head.weight.dtype)
        count = len(batch.examples)
        total = hidden.new_zeros(count, hidden.shape[1]).index_add(0, batch.rows, hidden)
        tokens = hidden.new_zeros(count).index_add(0, batch.rows, hidden.new_ones(len(batch.rows)))
        return torch.sigmoid(head(total / tokens[:, None]).squeeze(-1))


class HeadRanker:
    """Scores chains with a trained LoRA and head."""

    def __init__(self, student: Student, adapters: Adapters, head: ScoreHead, name: str, tokens: int = 8192) -> None:
        self.student, self.adapters, self.head, self.name = student, adapters, head, name
        self.tokens, self.share = tokens, enable_packing(adapters.base)

    @torch.inference_mode()
    def score(self, problem: Problem, chains: Sequence[Chain]) -> list[float | None]:
        """Score each chain of a problem in [0, 1]; None for an empty one. The prompt is run once for all of them."""
        self.adapters.model.eval()
        self.head.eval()
        scores: list[float | None] = [None] * len(chains)
        filled = [index for index, chain in enumerate(chains) if chain.text.strip()]
        prompt = tuple(self.student.prompt_ids(problem.question))
        examples = [Example(prompt, tuple(self.student.completion_ids(chains[index].text))) for index in filled]
        found = [
            score
            for part in fill(examples, self.tokens)
            for score in pooled_scores(self.adapters, self.head, self._pack(part)).tolist()
        ]
        for index, score in zip(filled, found, strict=True):
            scores[index] = score
        return scores

    def _pack(self, examples: list[Example]) -> Pack:
        return pack(examples, share=self.share, whole=True).to(self.adapters.model.device)


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
