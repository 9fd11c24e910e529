"""Self-generated training data: right chains for NCE, wrong ones for the negative adapter, both for the ranker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsad_cli.config.engine_spec import parse_engine
from nsad_cli.config.stages import LearnsFrom
from nsad_cli.generation.sampler import Sampling
from nsad_cli.grading.checker import Checker
from nsad_cli.grading.step_checks import check_steps
from nsad_cli.inference.sampling import Subject, sample_all
from nsad_cli.store.chains import ChainStore
from nsad_cli.training.data import sample_items
from nsad_cli.training.ranker import Candidates
from nsad_cli.types import Chain, Finish, Problem, Rationale, Verdict
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.config.stages import Stage
    from nsad_cli.inference.session import Session
    from nsad_cli.training.stage_data import Corpus


def own_candidates(session: Session, stage: Stage, corpus: Corpus) -> list[Candidates]:
    """Sample chains with the student and split each problem's chains into right and wrong ones.

    The problems are sampled by seed from all training problems, including held-out ones.
    """
    settings = session.recipe.training.ranker
    problems = sample_items(corpus.problems(), settings.problems, session.recipe.seed)
    chains = sampled_chains(session, stage, problems, settings.samples, settings.chains_of)
    candidates = []
    for problem in problems:
        own = chains[problem.id]
        right = tuple(chain.text for chain in own if chain.correct)
        if settings.human_solutions and problem.solution:
            right = (*right, problem.solution)
        wrong = tuple(chain.text for chain in own if chain.correct is False)
        candidates.append(Candidates(problem, right, wrong))
    return candidates


def own_rationales(session: Session, stage: Stage, corpus: Corpus) -> list[Rationale]:
    """Sample chains on the training problems and return each distinct text with the verdict that the stage learns from.

    The negative adapter learns from wrong chains, also of held-out problems, where they measure its held-out loss;
    other stages add right chains of all problems except held-out ones. With training.drop_wrong_steps, right texts
    with a wrong step are left out.
    """
    wrong = stage.learns_from is LearnsFrom.OWN_WRONG
    problems = [problem for problem in corpus.problems() if wrong or problem.id not in corpus.held_out]
    chains = sampled_chains(session, stage, problems, session.recipe.training.own_samples(stage))
    verdict = Verdict.WRONG if wrong else Verdict.CORRECT
    found = []
    for problem in problems:
        wanted = (chain for chain in chains[problem.id] if (_is_wrong(chain) if wrong else chain.correct))
        found += [
            Rationale(problem, text, verdict, -1) for text in dict.fromkeys(chain.text.strip() for chain in wanted)
        ]
    if wrong or not session.recipe.training.drop_wrong_steps:
        return found
    kept = [item for item in found if check_steps(item.text).first_wrong is None]
    if len(kept) < len(found):
        note(
            f"{stage.name}: {len(found) - len(kept)} of {len(found)} right chains of the run's own have a wrong step "
            "and are left out"
        )
    return kept


def _is_wrong(chain: Chain) -> bool:
    """Return whether a chain ended by itself with a wrong answer: one without an answer is not wrong."""
    return chain.correct is False and chain.answer is not None and chain.finish is Finish.STOP


def sampled_chains(
    session: Session, stage: Stage, problems: Sequence[Problem], samples: int, model: str | None = None
) -> dict[str, list[Chain]]:
    """Sample a model's chains for each problem; stored chains are not sampled again.

    Args:
        session: The run's models.
        stage: The stage that needs the chains.
        problems: The problems.
        samples: The number of chains of each problem.
        model: The model; None for the one that the stage samples from.

    Returns:
        The graded chains by problem id.
    """
    run, recipe, name = session.run, session.recipe, model or stage.samples_from
    assert name is not None
    engine = recipe.sampling_engine
    subject = Subject(name, parse_engine(engine).key(session.model_key(name)), session.sampler(name, engine))
    sampling = Sampling.of(recipe.sampling)
    with ChainStore(run.chains_path) as store, Checker() as checker:
        progress = run.events.progress(stage.sampling_event)
        both = sample_all(subject, problems, sampling, samples, False, recipe.seed, store, checker, progress)
    return {key: sampled for key, (_, sampled) in both.items()}
