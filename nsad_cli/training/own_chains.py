"""The ranker's data: the student's own chains on training problems, right and wrong."""

from __future__ import annotations

from nsad_cli.answers.checker import Checker
from nsad_cli.chains import ChainStore
from nsad_cli.evaluation.runner import Subject, sample_all
from nsad_cli.generation.sampler import Sampling
from nsad_cli.session import Session
from nsad_cli.training.data import choose
from nsad_cli.training.ranker import Candidates
from nsad_cli.training.stages import Corpus


def own_candidates(session: Session, corpus: Corpus) -> list[Candidates]:
    """Sample chains with the NCE student on training problems, and sort each problem's into right and wrong.

    Problems are drawn by seed from all training problems, the held-out ones among them; chains that the run has
    already are not sampled again.
    """
    run, recipe = session.run, session.recipe
    settings = recipe.training.ranker
    known = {item.problem.id: item.problem for item in (*corpus.positive, *corpus.negative)}
    problems = choose(list(known.values()), settings.problems, recipe.seed)
    subject = Subject("nce", session.model_key("nce"), session.sampler("nce"))
    sampling = Sampling(recipe.sampling.temperature, recipe.sampling.top_p, recipe.sampling.max_new_tokens)
    with ChainStore(run.chains_path) as store, Checker() as checker:
        chains = sample_all(
            subject,
            problems,
            sampling,
            settings.samples,
            False,
            recipe.seed,
            store,
            checker,
            run.progress("ranker-chains"),
        )
    candidates = []
    for problem in problems:
        own = chains[problem.id][1]
        right = tuple(chain.text for chain in own if chain.correct)
        wrong = tuple(chain.text for chain in own if chain.correct is False)
        candidates.append(Candidates(problem, right, wrong))
    return candidates
