"""The chains that rankers are fitted and measured on: for problems that no stage trained on, or training problems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nsad_cli.training.data import sample_items
from nsad_cli.training.self_generated import sampled_chains

if TYPE_CHECKING:
    from nsad_cli.config.stages import Stage
    from nsad_cli.inference.session import Session
    from nsad_cli.training.stage_data import Corpus
    from nsad_cli.types import Chain, Problem


@dataclass(frozen=True, slots=True)
class Answered:
    """A problem with the student's chains whose answers are known to be right or wrong."""

    problem: Problem
    chains: tuple[Chain, ...]


def ranker_chains(session: Session, stage: Stage, corpus: Corpus) -> list[Answered]:
    """Sample chains for the problems kept for the ranker; if there are none, for training problems.

    Args:
        session: The run's models.
        stage: The ranker's stage.
        corpus: The run's rationales.

    Returns:
        The problems with at least one chain, without empty chains.
    """
    settings = session.recipe.training.ranker
    problems = list(corpus.for_ranker) or sample_items(corpus.problems(), settings.problems, session.recipe.seed)
    chains = sampled_chains(session, stage, problems, settings.samples, settings.chains_of)
    known = [
        Answered(problem, tuple(c for c in chains[problem.id] if c.correct is not None and c.text.strip()))
        for problem in problems
    ]
    return [item for item in known if item.chains]
