"""Self-generated training data: NAT's right chains are added to NCE's data; NCE's chains train the ranker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.generation.engine_spec import parse_engine
from nsad_cli.generation.sampler import Sampling
from nsad_cli.grading.checker import Checker
from nsad_cli.inference.sampling import Subject, sample_all
from nsad_cli.store.chains import ChainStore
from nsad_cli.training.data import sample_items
from nsad_cli.training.ranker import Candidates
from nsad_cli.types import Chain, Problem, Rationale, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.config.stages import Stage
    from nsad_cli.inference.session import Session
    from nsad_cli.training.stage_data import Corpus


def own_candidates(session: Session, stage: Stage, corpus: Corpus) -> list[Candidates]:
    """Sample chains with the NCE student and split each problem's chains into right and wrong ones.

    The problems are sampled by seed from all training problems, including held-out ones.
    """
    settings = session.recipe.training.ranker
    problems = sample_items(corpus.problems(), settings.problems, session.recipe.seed)
    chains = _sampled(session, stage, problems, settings.samples)
    candidates = []
    for problem in problems:
        own = chains[problem.id]
        right = tuple(chain.text for chain in own if chain.correct)
        wrong = tuple(chain.text for chain in own if chain.correct is False)
        candidates.append(Candidates(problem, right, wrong))
    return candidates


def own_rationales(session: Session, stage: Stage, corpus: Corpus) -> list[Rationale]:
    """Sample NAT's chains on all training problems except held-out ones, and return each distinct right text."""
    problems = [problem for problem in corpus.problems() if problem.id not in corpus.held_out]
    chains = _sampled(session, stage, problems, session.recipe.training.nce.self_samples)
    found = []
    for problem in problems:
        texts = dict.fromkeys(chain.text.strip() for chain in chains[problem.id] if chain.correct)
        found += [Rationale(problem, text, Verdict.CORRECT, -1) for text in texts]
    return found


def _sampled(session: Session, stage: Stage, problems: Sequence[Problem], samples: int) -> dict[str, list[Chain]]:
    """Return a model's chains for each problem; stored chains are not sampled again."""
    run, recipe, name = session.run, session.recipe, stage.samples_from
    assert name is not None
    key = parse_engine(recipe.student.sampled_by).key(session.model_key(name))
    subject = Subject(name, key, session.sampler(name))
    sampling = Sampling.of(recipe.sampling)
    with ChainStore(run.chains_path) as store, Checker() as checker:
        progress = run.events.progress(stage.sampling_event)
        both = sample_all(subject, problems, sampling, samples, False, recipe.seed, store, checker, progress)
    return {key: sampled for key, (_, sampled) in both.items()}
