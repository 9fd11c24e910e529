"""The implicit process reward model: a verifier whose score is a log-likelihood ratio of two language models.

A chain's logit is κ·Σ (log p_ranker − log p_student) over its tokens. The ranker's LoRA starts as a copy of the
student's, so that every logit is 0 at first, and learns from right and wrong chains; with the loss `bce` it is the
cross-entropy form of Yuan et al. (arXiv 2412.01981), whose κ is 0.05. The terms of the sum are rewards of tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from nsad_cli.config.ranker_kinds import IMPLICIT_PRM
from nsad_cli.models.lm_head import row_losses, vocabulary_head
from nsad_cli.models.nat.adapter_files import load_adapter, save_adapter
from nsad_cli.models.packing import Example, Pack, enable_packing, hidden_states, pack
from nsad_cli.rankers.base import RankerContext, Scorer
from nsad_cli.rankers.metadata import ADAPTER, PROBED_MODEL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from nsad_cli.models.nat.adapters import Adapters
    from nsad_cli.models.student import Student

SCALE = 0.05
"""κ, logits per nat."""


class ImplicitPrmScorer(Scorer):
    """The LoRA named `ranker`, compared with the student's."""

    kind = IMPLICIT_PRM
    head = None

    def __init__(self, student: Student, adapters: Adapters) -> None:
        super().__init__()
        self.student, self.adapters, self.model = student, adapters, adapters.model
        self.share = enable_packing(adapters.base)
        self.vocabulary = vocabulary_head(adapters.base)

    @classmethod
    def create(cls, context: RankerContext) -> ImplicitPrmScorer:
        """See Scorer.create; the student's adapter is loaded and copied."""
        context.load(PROBED_MODEL)
        context.adapters.add_lora(ADAPTER, context.adapter_settings, context.seed)
        context.adapters.copy_weights(PROBED_MODEL, ADAPTER)
        context.adapters.train_only(ADAPTER)
        return cls(context.student, context.adapters)

    @classmethod
    def restore(
        cls,
        student: Student,
        adapters: Adapters,
        folder: Path,
        tensors: dict[str, Tensor],  # noqa: ARG003  # see Scorer
    ) -> ImplicitPrmScorer:
        """See Scorer.restore; the student's adapter must be in memory."""
        load_adapter(adapters, ADAPTER, folder)
        return cls(student, adapters)

    def example(self, question: str, text: str, *, ended: bool = True) -> Example:
        """Tokenise the student's prompt and the chain, with EOS if the chain ended by it."""
        completion = self.student.completion_ids(text)
        return Example(tuple(self.student.prompt_ids(question)), tuple(completion if ended else completion[:-1]))

    def trained(self) -> dict[str, nn.Parameter]:
        """Return the LoRA's parameters."""
        return dict(self.adapters.parameters_of(ADAPTER))

    def pack(self, examples: Sequence[Example]) -> Pack:
        """Pack examples; neighbours with one prompt share it."""
        return pack(examples, share=self.share)

    def logits(self, batch: Pack) -> Tensor:
        """See Scorer.logits."""
        gain = self._log_likelihoods(ADAPTER, batch) - self._student_log_likelihoods(batch)
        return SCALE * gain

    def _log_likelihoods(self, name: str, batch: Pack) -> Tensor:
        """Compute each sequence's log-likelihood under an adapter, [S]."""
        with self.adapters.use(name):
            hidden = hidden_states(self.adapters.base, batch)[batch.before]

        def losses(logits: Tensor, part: slice) -> list[Tensor]:
            return [F.cross_entropy(logits.float(), batch.targets[part], reduction="none")]

        (nll,) = row_losses(self.vocabulary, hidden, losses)
        return -nll.new_zeros(len(batch.examples)).index_add(0, batch.rows, nll)

    @torch.no_grad()
    def _student_log_likelihoods(self, batch: Pack) -> Tensor:
        """Compute each sequence's log-likelihood under the student, without dropout, [S]."""
        was_training = self.model.training
        self.model.eval()
        found = self._log_likelihoods(PROBED_MODEL, batch)
        self.model.train(was_training)
        return found

    def save(self, folder: Path) -> None:
        """Save the LoRA."""
        save_adapter(self.adapters, ADAPTER, folder)
