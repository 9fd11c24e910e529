"""The probe: a linear head on the hidden states that generated a chain, without an additional forward pass.

A chain's features are the mean, over its tokens, of the last hidden states that predicted them. Generation has
computed these: a FeatureCallbackSampler passes them on as each chain ends, and the chain is scored immediately. Any
other chain (cached, or of another model) takes one forward pass of the same student. Both agree except for rounding,
and except for chains whose text is tokenised differently from the sampled tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from nsad_cli.config.ranker_kinds import PROBE
from nsad_cli.generation.feature_callback_sampler import FeatureCallbackSampler
from nsad_cli.models.host_copies import to_device
from nsad_cli.models.packing import Example, group_by_tokens, hidden_states, pack
from nsad_cli.rankers.base import RankerContext, ScoreHead, StudentScorer, TrainedRanker, mean_rows
from nsad_cli.rankers.metadata import PROBED_MODEL
from nsad_cli.types import Finish

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nsad_cli.rankers.scoring import Scoring
    from nsad_cli.types import Chain, Problem


@dataclass(frozen=True, slots=True)
class Features:
    """Means of hidden states, [S,d] in float32."""

    values: Tensor
    tokens: int

    def to(self, device: torch.device) -> Features:
        """The same on a device."""
        return Features(to_device(self.values, device), self.tokens)


class ProbeScorer(StudentScorer):
    """A head on the frozen NCE student."""

    kind = PROBE

    @classmethod
    def create(cls, context: RankerContext) -> Self:
        """See Scorer.create; the adapter whose states are read is loaded."""
        context.load(PROBED_MODEL)
        context.adapters.train_only(None)
        return cls(context.student, context.adapters, ScoreHead(context.hidden_size, context.seed))

    def ranker(self, scoring: Scoring, name: str) -> ProbeRanker:
        """Return a ranker that can score chains while they are generated."""
        return ProbeRanker(self, scoring, name)

    def example(self, question: str, text: str, *, ended: bool = True) -> Example:
        """The student's prompt and the chain, with EOS if the chain ended by it."""
        completion = self.student.completion_ids(text)
        return Example(tuple(self.student.prompt_ids(question)), tuple(completion if ended else completion[:-1]))

    def trained(self) -> dict[str, nn.Parameter]:
        """The head's parameters."""
        return dict(self.head.named_parameters())

    @torch.no_grad()
    def pack(self, examples: Sequence[Example]) -> Features:
        """The features of examples, by one pass of the student."""
        self.model.eval()
        batch = pack(examples, share=self.share).to(self.device)
        with self.adapters.use(PROBED_MODEL):
            hidden = hidden_states(self.adapters.base, batch)[batch.before]
        return Features(mean_rows(hidden, batch.rows, len(examples)), batch.tokens)

    def logits(self, batch: Features) -> Tensor:
        """See Scorer.logits."""
        scores: Tensor = self.head(batch.values)
        return scores

    def save(self, folder: Path) -> None:
        """Do nothing: the head is saved by save_ranker."""


class ProbeRanker(TrainedRanker):
    """A probe that caches the logits of chains computed during generation, until their scores are requested."""

    scorer: ProbeScorer

    def __init__(self, scorer: ProbeScorer, scoring: Scoring, name: str) -> None:
        super().__init__(scorer, scoring, name)
        self._cached: dict[str, dict[str, float]] = {}

    def scoring_sampler(self, sampler: Any) -> FeatureCallbackSampler:
        """The sampler of the model that the probe reads, whose chains are scored as they end."""
        return FeatureCallbackSampler(sampler, self.score_generated)

    @torch.inference_mode()
    def score_generated(self, chain: Chain, features: Tensor) -> None:
        """Compute a chain's logit from its features [d]."""
        states = Features(features[None], 0).to(self.scorer.device)
        self._cached.setdefault(chain.problem_id, {})[chain.text] = self.logits_from_states([chain], states)[0]

    def logits_from_states(self, chains: Sequence[Chain], states: Features) -> list[float]:
        """Compute chains' logits from the means of their hidden states."""
        del chains  # other rankers use more than the states
        logits: list[float] = self.scorer.logits(states).tolist()
        return logits

    def logits(self, problem: Problem, chains: Sequence[Chain]) -> list[float]:
        """See TrainedRanker.logits; chains without a cached logit are read."""
        cached = self._cached.pop(problem.id, {})
        read = iter(self._read(problem.question, [chain for chain in chains if chain.text not in cached]))
        return [cached[chain.text] if chain.text in cached else next(read) for chain in chains]

    @torch.inference_mode()
    def _read(self, question: str, chains: Sequence[Chain]) -> list[float]:
        self.scorer.eval()
        examples = [self.scorer.example(question, c.text, ended=c.finish is not Finish.LENGTH) for c in chains]
        found: list[float] = []
        for part in group_by_tokens(examples, self.tokens):
            own = chains[len(found) : len(found) + len(part)]
            found += self.logits_from_states(own, self.scorer.pack(part).to(self.scorer.device))
        return found
