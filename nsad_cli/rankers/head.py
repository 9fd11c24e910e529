"""The head ranker: a LoRA and a score head on the student's own base, so no second model is in memory.

A chain's logit is a linear head on the mean of its tokens' last hidden states. Chains of one problem share the pass
over its prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.config.ranker_kinds import HEAD
from nsad_cli.config.stages import RANKER
from nsad_cli.models.nat.adapter_files import load_adapter, save_adapter
from nsad_cli.models.packing import Example, Pack, hidden_states, pack
from nsad_cli.rankers.base import RankerContext, ScoreHead, StudentScorer, mean_rows
from nsad_cli.rankers.metadata import ADAPTER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from nsad_cli.models.nat.adapters import Adapters
    from nsad_cli.models.student import Student


class HeadScorer(StudentScorer):
    """The LoRA named `ranker` on the student's base, and its head."""

    kind = HEAD

    @classmethod
    def create(cls, context: RankerContext) -> HeadScorer:
        """See Scorer.create."""
        context.adapters.add_lora(ADAPTER, context.adapter_settings, context.seed + RANKER.seed_offset)
        context.adapters.train_only(ADAPTER)
        return cls(context.student, context.adapters, ScoreHead(context.hidden_size, context.seed))

    @classmethod
    def restore(cls, student: Student, adapters: Adapters, folder: Path, tensors: dict[str, Tensor]) -> HeadScorer:
        """See Scorer.restore."""
        load_adapter(adapters, ADAPTER, folder)
        return super().restore(student, adapters, folder, tensors)

    def example(self, question: str, text: str, *, ended: bool = True) -> Example:  # noqa: ARG002  # see Scorer
        """The student's prompt and the chain, always closed by EOS."""
        return Example(tuple(self.student.prompt_ids(question)), tuple(self.student.completion_ids(text)))

    def trained(self) -> dict[str, nn.Parameter]:
        """The LoRA's parameters and the head's."""
        head = {f"head.{name}": parameter for name, parameter in self.head.named_parameters()}
        return {**dict(self.adapters.parameters_of(ADAPTER)), **head}

    def pack(self, examples: Sequence[Example]) -> Pack:
        """A pack in which neighbours with one prompt share it; last tokens are inputs too."""
        return pack(examples, share=self.share, whole=True)

    def logits(self, batch: Pack) -> Tensor:
        """See Scorer.logits."""
        with self.adapters.use(ADAPTER):
            hidden = hidden_states(self.adapters.base, batch)[batch.completion]
        scores: Tensor = self.head(mean_rows(hidden, batch.rows, len(batch.examples)))
        return scores

    def save(self, folder: Path) -> None:
        """Save the LoRA."""
        save_adapter(self.adapters, ADAPTER, folder)
