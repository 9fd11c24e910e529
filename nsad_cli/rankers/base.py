"""The interface of rankers: a network that maps a chain to a logit, and scores from it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from nsad_cli.models.packing import Example, enable_packing, group_by_tokens
from nsad_cli.types import Chain, Finish, Problem, Score

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nsad_cli.config.schema import RankerConfig
    from nsad_cli.models.nat.adapters import Adapters
    from nsad_cli.models.nat.config import AdapterSettings
    from nsad_cli.models.student import Student
    from nsad_cli.rankers.scoring import Scoring


@dataclass(frozen=True, slots=True)
class RankerContext:
    """What a ranker may be built from."""

    student: Student
    adapters: Adapters
    settings: RankerConfig
    """The recipe's `training.ranker`."""
    adapter_settings: AdapterSettings
    seed: int
    load: Callable[[str], None]
    """Load the adapter of one of the run's models into `adapters`."""

    @property
    def hidden_size(self) -> int:
        """Width of the student's hidden states."""
        return int(self.student.model.config.get_text_config().hidden_size)


class Scorer(nn.Module):
    """Computes a logit per chain, higher if it is likely correct; trained by RankerObjective or fitted.

    One subclass per kind of ranker; entry points in the group `nsad.rankers` add kinds.
    """

    kind: ClassVar[str]
    """The name that `training.ranker.kind` takes."""
    on_base: ClassVar[bool] = True
    """Whether it works on the student's own base weights."""
    model: Any
    head: ScoreHead | None
    """None if the model has its own."""

    @classmethod
    @abstractmethod
    def create(cls, context: RankerContext) -> Self:
        """Build the scorer before its training; on the base, freeze all other parameters."""

    @classmethod
    @abstractmethod
    def restore(cls, student: Student, adapters: Adapters, folder: Path, tensors: dict[str, Tensor]) -> Self:
        """Build the trained scorer.

        Args:
            student: the run's student.
            adapters: the adapters on its base.
            folder: where `save` wrote.
            tensors: what `head_tensors` returned.
        """

    @abstractmethod
    def example(self, question: str, text: str, *, ended: bool = True) -> Example:
        """Token ids of a question and a chain as this network reads them; `ended`: the chain ended by itself."""

    @abstractmethod
    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that training changes, by name."""

    @abstractmethod
    def pack(self, examples: Sequence[Example]) -> Any:
        """One batch of examples, with its number of `tokens` and a method `to` that moves it to a device."""

    @abstractmethod
    def logits(self, batch: Any) -> Tensor:
        """The batch's S chains → [S], in float32."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Save what the head's file does not hold."""

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        device: torch.device = self.model.device
        return device

    def ranker(self, scoring: Scoring, name: str) -> TrainedRanker:
        """Return the ranker that scores chains with this scorer."""
        return TrainedRanker(self, scoring, name)

    def head_tensors(self) -> dict[str, Tensor]:
        """Return the tensors for the head's file, in addition to the calibration."""
        return {} if self.head is None else dict(self.head.state_dict())


class StudentScorer(Scorer):
    """A scorer on the student's base: student, adapters, and a head on its device."""

    def __init__(self, student: Student, adapters: Adapters, head: ScoreHead) -> None:
        super().__init__()
        self.student, self.adapters, self.model = student, adapters, adapters.model
        self.head: ScoreHead = head.to(adapters.model.device)
        self.share = enable_packing(adapters.base)

    @classmethod
    def restore(cls, student: Student, adapters: Adapters, folder: Path, tensors: dict[str, Tensor]) -> Self:  # noqa: ARG003  # see Scorer
        """See Scorer.restore; the head's shape is that of its tensors."""
        head = ScoreHead(tensors["weight"].shape[1], seed=0)
        head.load_state_dict(tensors)
        return cls(student, adapters, head)


class ScoreHead(nn.Linear):
    """d_hidden → 1, in float32; initialised by seed."""

    def __init__(self, hidden: int, seed: int) -> None:
        super().__init__(hidden, 1)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.weight.normal_(0, hidden**-0.5, generator=generator)
            self.bias.zero_()

    def forward(self, pooled: Tensor) -> Tensor:
        """[S,d] → [S], without autocast: bfloat16 scores near 0 or 1 would tie."""
        with torch.autocast(pooled.device.type, enabled=False):
            return super().forward(pooled.to(self.weight.dtype)).squeeze(-1)


def mean_rows(values: Tensor, rows: Tensor, count: int) -> Tensor:
    """The mean of each row's vectors, in float32; [N,d], [N] → [count,d]."""
    with torch.autocast(values.device.type, enabled=False):
        values = values.float()
        total = values.new_zeros(count, values.shape[1]).index_add(0, rows, values)
        return total / values.new_zeros(count).index_add(0, rows, values.new_ones(len(rows)))[:, None]


@torch.no_grad()
def logits_of(scorer: Scorer, examples: Sequence[Example], tokens: int) -> list[float]:
    """Compute the logit of each example, in order, with at most `tokens` tokens per batch."""
    scorer.eval()
    parts = group_by_tokens(examples, tokens)
    return [logit for part in parts for logit in scorer.logits(scorer.pack(part).to(scorer.device)).tolist()]


class TrainedRanker:
    """Scores chains with a trained network."""

    def __init__(self, scorer: Scorer, scoring: Scoring, name: str, tokens: int = 8192) -> None:
        self.scorer, self.scoring, self.name, self.tokens = scorer, scoring, name, tokens

    @property
    def refused(self) -> str | None:
        """Why the ranker must not weight votes; None if it may."""
        return self.scoring.refused

    def score(self, problem: Problem, chains: Sequence[Chain]) -> list[Score | None]:
        """Score each chain of a problem; None for an empty one."""
        logits = iter(self.logits(problem, [chain for chain in chains if chain.text.strip()]))
        return [self.scoring.score(next(logits), chain) if chain.text.strip() else None for chain in chains]

    def logits(self, problem: Problem, chains: Sequence[Chain]) -> list[float]:
        """Compute the logit of each chain, none of them empty."""
        question = problem.question
        examples = [self.scorer.example(question, c.text, ended=c.finish is not Finish.LENGTH) for c in chains]
        return logits_of(self.scorer, examples, self.tokens)
