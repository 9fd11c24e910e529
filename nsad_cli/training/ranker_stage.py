"""The ranker's stage: the student's own chains, pairs of them, the training of a scorer, and its calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.rankers.calibration import Calibration, fit_platt
from nsad_cli.rankers.kinds import scorer_class
from nsad_cli.rankers.linear_probe import ProbeScorer
from nsad_cli.rankers.metadata import PROBED_MODEL
from nsad_cli.rankers.scoring import Scoring
from nsad_cli.rankers.storage import save_ranker
from nsad_cli.training.linear_probe import fit_probe
from nsad_cli.training.ranker import RankerObjective
from nsad_cli.training.ranker_calibration import calibrate, unseen_report
from nsad_cli.training.ranker_chains import ranker_chains
from nsad_cli.training.ranker_scoring import event_metrics, fit_scoring
from nsad_cli.training.self_generated import own_candidates
from nsad_cli.training.stage_data import Corpus, StageData, ranker_data
from nsad_cli.training.steps import train_by_steps
from nsad_cli.training.untrained_ranker import untrained_ranker
from nsad_cli.utils.distributed import is_main_process

if TYPE_CHECKING:
    from nsad_cli.config.stages import Stage
    from nsad_cli.inference.session import Session
    from nsad_cli.rankers.base import Scorer
    from nsad_cli.training.ranker_chains import Answered
    from nsad_cli.training.trainer import Objective, TrainResult


class RankerTraining:
    """Training of a ranker on pairs of the student's own chains; see stages.StageTraining.

    The scores are calibrated on problems that the ranker has not learned from; if problems are kept for the ranker, on
    those, and the weights of votes are fitted there.
    """

    def __init__(self, session: Session, stage: Stage, corpus: Corpus) -> None:
        self.session, self.stage, self.corpus = session, stage, corpus
        self.settings = session.recipe.training.ranker
        self._scorer: Scorer | None = None
        self._answered: list[Answered] = []

    def data(self) -> StageData:
        """Sample the student's chains and pair them; a missing model is reported before anything is sampled."""
        own_model = not scorer_class(self.settings.kind).on_base
        if own_model:
            self._scorer = untrained_ranker(self.session)
        own = own_candidates(self.session, self.stage, self.corpus)
        if self.corpus.for_ranker:
            self._answered = ranker_chains(self.session, self.stage, self.corpus)
        if not own_model:  # sampling loads the adapter that writes, and that freezes all others
            self._scorer = untrained_ranker(self.session)
        assert self._scorer is not None
        return ranker_data(self.session, self._scorer.example, own, self.corpus)

    def build(self) -> RankerObjective:
        """The objective of the scorer; only the objective holds the scorer, which holds the student."""
        scorer, self._scorer = self._scorer, None
        assert scorer is not None
        return RankerObjective(scorer, self.settings.objective)

    def shards_base(self, objective: Objective[Any]) -> bool:
        """Whether the scorer runs on the student's base; an encoder has weights of its own."""
        assert isinstance(objective, RankerObjective)
        return objective.scorer.on_base

    def learn(self, objective: Objective[Any], data: StageData) -> TrainResult:
        """Train by steps; a probe is fitted to its optimum instead."""
        assert isinstance(objective, RankerObjective)
        if not isinstance(objective.scorer, ProbeScorer):
            fresh = self.settings.pairs == "fresh"  # the data hold a pair for each epoch
            settings = self.settings.model_copy(update={"epochs": 1.0}) if fresh else self.settings
            return train_by_steps(self.session, self.stage.name, objective, data, settings)
        return fit_probe(
            objective.scorer,
            data.train,
            data.held_out,
            objective=objective.objective,
            tokens=self.settings.pack_tokens,
            run=self.session.run,
            stage=self.stage.name,
        )

    def save(self, objective: Objective[Any], data: StageData, steps: int) -> dict[str, Any]:
        """Calibrate the scores, save the ranker, and report how well it ranks."""
        assert isinstance(objective, RankerObjective)
        run, scorer, tokens = self.session.run, objective.scorer, self.settings.pack_tokens
        scoring, more = Scoring(), {}
        if self._answered:
            scoring, ranking = self._measured(scorer)
            run.events.emit(self.stage.name, steps, steps, **event_metrics(ranking))
            more = {"ranking": {**ranking, "unseen_problems": True}}
        elif self.settings.calibrate:
            calibration, report = calibrate(scorer, data.graded, tokens)
            report["unseen"] = unseen_report(scorer, calibration, data.unseen, tokens)
            run.events.emit(self.stage.name, steps, steps, **report)
            scoring, more = Scoring(calibration, refused=report["refused"]), {"calibration": report}
        if is_main_process():
            reads = run.stages().get(PROBED_MODEL, {}).get("result", {}).get("weights") or ""
            save_ranker(scorer, scoring, run.adapter_path(self.stage.name), reads=reads)
        return {"kind": self.settings.kind, "objective": self.settings.objective, **more}

    def _measured(self, scorer: Scorer) -> tuple[Scoring, dict[str, Any]]:
        """Calibrate the scores and fit the weights of votes on chains for problems that only the ranker sees."""
        ranker = scorer.ranker(Scoring(), "")
        logits = [ranker.logits(item.problem, item.chains) for item in self._answered]
        flat = [z for own in logits for z in own]
        right = [bool(chain.correct) for item in self._answered for chain in item.chains]
        calibration = (fit_platt(flat, right) if self.settings.calibrate else None) or Calibration()
        return fit_scoring(self._answered, [[calibration(z) for z in own] for own in logits], calibration)
