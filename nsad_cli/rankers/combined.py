"""The combined ranker: a logistic model on a chain's log-probabilities, its step checks and the student's hidden state.

The hidden state is the probe's (see linear_probe): the mean of the states that generated the chain, so that chains that
the student samples here are scored without another forward pass. The model is fitted to chains for problems that no
stage has trained on, by training.combined_ranker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from nsad_cli.config.ranker_kinds import COMBINED
from nsad_cli.rankers.chain_features import NAMES, chain_features
from nsad_cli.rankers.linear_probe import Features, ProbeRanker, ProbeScorer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nsad_cli.models.nat.adapters import Adapters
    from nsad_cli.models.student import Student
    from nsad_cli.rankers.base import ScoreHead
    from nsad_cli.rankers.scoring import Scoring
    from nsad_cli.types import Chain

PLAIN = "plain."
"""The prefix of the tensors of the model on chain_features."""


class CombinedScorer(ProbeScorer):
    """The probe's head and a linear model on the features of chain_features; their sum is the logit."""

    kind = COMBINED

    def __init__(self, student: Student, adapters: Adapters, head: ScoreHead) -> None:
        super().__init__(student, adapters, head)
        self.plain = nn.Linear(len(NAMES), 1, bias=False)
        self.register_buffer("unknown", torch.zeros(len(NAMES)))
        self.unknown: Tensor
        """What takes the place of a feature that is not known: its mean over the chains of the fit."""

    @classmethod
    def restore(cls, student: Student, adapters: Adapters, folder: Path, tensors: dict[str, Tensor]) -> Self:
        """See Scorer.restore."""
        plain = {name.removeprefix(PLAIN): tensors.pop(name) for name in list(tensors) if name.startswith(PLAIN)}
        scorer = super().restore(student, adapters, folder, tensors)
        with torch.no_grad():
            scorer.plain.weight.copy_(plain["weight"])
            scorer.unknown.copy_(plain["unknown"])
        return scorer

    def head_tensors(self) -> dict[str, Tensor]:
        """See Scorer.head_tensors."""
        plain = {f"{PLAIN}weight": self.plain.weight, f"{PLAIN}unknown": self.unknown}
        return {**super().head_tensors(), **plain}

    def ranker(self, scoring: Scoring, name: str) -> CombinedRanker:
        """Return a ranker that can score chains while they are generated."""
        return CombinedRanker(self, scoring, name)

    def features(self, chains: Sequence[Chain]) -> Tensor:
        """The features of chains → [S, len(NAMES)] in float32, with unknown ones replaced."""
        found = self.raw_features(chains).to(self.unknown.device)
        return torch.where(found.isnan(), self.unknown, found)

    @staticmethod
    def raw_features(chains: Sequence[Chain]) -> Tensor:
        """The features of chains → [S, len(NAMES)] in float32, NaN for unknown ones."""
        return torch.tensor([chain_features(chain) for chain in chains]).view(len(chains), len(NAMES))


class CombinedRanker(ProbeRanker):
    """A combined ranker; see ProbeRanker for how it scores chains while they are generated."""

    scorer: CombinedScorer

    @torch.inference_mode()
    def logits_from_states(self, chains: Sequence[Chain], states: Features) -> list[float]:
        """See ProbeRanker.logits_from_states; the chains' own features are added."""
        plain = self.scorer.plain(self.scorer.features(chains)).squeeze(-1).tolist()
        return [a + b for a, b in zip(super().logits_from_states(chains, states), plain, strict=True)]
