"""The stages of rankers that are fitted to chains instead of trained by steps: combined and steps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError
from nsad_cli.grading.step_checks import check_steps
from nsad_cli.rankers.calibration import Calibration
from nsad_cli.rankers.combined import CombinedScorer
from nsad_cli.rankers.measurement import measure
from nsad_cli.rankers.metadata import PROBED_MODEL
from nsad_cli.rankers.scoring import Scoring
from nsad_cli.rankers.steps import EXPONENT, EXPONENTS
from nsad_cli.rankers.storage import save_ranker, save_steps
from nsad_cli.rankers.weighting import Weighting, fit_exponent
from nsad_cli.training.combined_ranker import fit_combined
from nsad_cli.training.ranker import RankerObjective
from nsad_cli.training.ranker_chains import ranker_chains
from nsad_cli.training.ranker_scoring import event_metrics, fit_likelihood, fit_scoring
from nsad_cli.training.stage_data import StageData
from nsad_cli.training.untrained_ranker import untrained_ranker
from nsad_cli.types import Score
from nsad_cli.utils.distributed import is_main_process, world_size
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.config.stages import Stage
    from nsad_cli.inference.session import Session
    from nsad_cli.training.ranker_chains import Answered
    from nsad_cli.training.stage_data import Corpus
    from nsad_cli.training.trainer import Objective, TrainResult
    from nsad_cli.types import Chain


class CombinedTraining:
    """Training of a combined ranker; see stages.StageTraining."""

    def __init__(self, session: Session, stage: Stage, corpus: Corpus) -> None:
        self.session, self.stage, self.corpus = session, stage, corpus
        self.settings = session.recipe.training.ranker
        self._answered: list[Answered] = []
        self._scoring = Scoring()
        self._report: dict[str, Any] = {}

    def data(self) -> StageData:
        """Sample the student's chains."""
        self._answered = require_chains(ranker_chains(self.session, self.stage, self.corpus))
        chains = [chain for item in self._answered for chain in item.chains]
        return StageData(chains, (), sorted(item.problem.id for item in self._answered))

    def build(self) -> RankerObjective:
        """The scorer, in an objective that is not trained by steps."""
        return RankerObjective(untrained_ranker(self.session), "bce")

    def shards_base(self, _objective: Objective[Any]) -> bool:
        """The scorer runs on the student's base."""
        return True

    def learn(self, objective: Objective[Any], _data: StageData) -> TrainResult:
        """Fit the scorer to its optimum, and the weights of votes."""
        scorer = _scorer(objective)
        tokens, run = self.settings.pack_tokens, self.session.run
        result, probabilities = fit_combined(scorer, self._answered, tokens=tokens, run=run, stage=self.stage.name)
        self._scoring, self._report = fit_scoring(self._answered, probabilities, Calibration())
        return result

    def save(self, objective: Objective[Any], _data: StageData, steps: int) -> dict[str, Any]:
        """Save the ranker, and report how well it ranks."""
        run, report = self.session.run, {**self._report, "unseen_problems": bool(self.corpus.for_ranker)}
        run.events.emit(self.stage.name, steps, steps, **event_metrics(report))
        if is_main_process():
            reads = run.stages().get(PROBED_MODEL, {}).get("result", {}).get("weights") or ""
            save_ranker(_scorer(objective), self._scoring, run.adapter_path(self.stage.name), reads=reads)
        return {"kind": self.settings.kind, "ranking": report}


def _scorer(objective: Objective[Any]) -> CombinedScorer:
    assert isinstance(objective, RankerObjective)
    assert isinstance(objective.scorer, CombinedScorer)
    return objective.scorer


def make_steps_ranker(session: Session, stage: Stage, corpus: Corpus) -> tuple[dict[str, Any], list[str]]:
    """Save a ranker of kind `steps`; if problems are kept for the ranker, fit its exponent to chains for them.

    Args:
        session: The run's models; without problems for the ranker nothing is loaded.
        stage: The ranker's stage.
        corpus: The run's rationales.

    Returns:
        The stage's result without what every stage records, and the ids of the problems used.
    """
    started, run = time.monotonic(), session.run
    scoring, ids, count = Scoring(weighting=Weighting("power", EXPONENT)), list[str](), 0
    report: dict[str, Any] = {}
    if corpus.for_ranker:
        answered = require_chains(ranker_chains(session, stage, corpus))
        scoring, report = fit_steps([item.chains for item in answered])
        report["unseen_problems"] = True
        ids, count = sorted(item.problem.id for item in answered), sum(len(item.chains) for item in answered)
        run.events.emit(stage.name, 1, 1, **event_metrics(report))
    if is_main_process():
        save_steps(scoring, run.adapter_path(stage.name))
    result = {
        "steps": 0,
        "processes": world_size(),
        "tokens": 0,
        "trained_parameters": 0,
        "held_out_loss": None,
        "best_step": 0,
        "seconds": round(time.monotonic() - started, 1),
        "kind": session.recipe.training.ranker.kind,
        "examples": count,
        "held_out": 0,
        **({"ranking": report} if report else {}),
    }
    return result, ids


def fit_steps(chains: Sequence[Sequence[Chain]]) -> tuple[Scoring, dict[str, Any]]:
    """Fit the exponent of the step checks, and measure how well they rank; see ranker_scoring.fit_scoring.

    They are not refused if they rank badly: the fitted exponent is then 0, which counts chains as `sc` does.
    """
    shares = {id(chain): check_steps(chain.text).share for own in chains for chain in own}

    def weigh(chain: Chain, exponent: float) -> Chain:
        share = shares[id(chain)]
        return chain.scored(None if share is None else Score(Weighting("power", exponent)(share)))

    checkable = [own for own in chains if any(shares[id(chain)] is not None for chain in own)]
    exponent = fit_exponent(checkable, "asc", weigh, EXPONENTS) if checkable else EXPONENT
    scoring = Scoring(weighting=Weighting("power", exponent), likelihood=fit_likelihood(chains))
    scores = [
        [0.5 if shares[id(chain)] is None else float(shares[id(chain)] or 0.0) for chain in own] for own in chains
    ]
    return scoring, {"measured": measure(chains, scores), **scoring.record()}


def require_chains(answered: list[Answered]) -> list[Answered]:
    """Return problems with graded chains.

    Raises:
        NsadError: There is none.
    """
    if not answered:
        raise NsadError(
            "ranker: the student has no chain with a known verdict",
            "its problems have no gold answer, or every chain is empty",
            "see its chains with `nsad vote --run NAME`, or raise sampling.max_new_tokens",
        )
    if not any(chain.correct for item in answered for chain in item.chains):
        note("ranker: none of the student's chains is right, so it cannot be fitted and votes will count by sc")
    return answered
