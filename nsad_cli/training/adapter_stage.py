"""The stage of an adapter: its data, its objective, and where it is saved."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import LearnsFrom
from nsad_cli.models.nat.adapter_files import save_adapter
from nsad_cli.training.self_generated import own_rationales
from nsad_cli.training.stage_data import StageData, contrastive_data, rationale_data, rationales_for
from nsad_cli.training.steps import train_by_steps
from nsad_cli.training.untrained_negative import set_untrained
from nsad_cli.utils.distributed import is_main_process

if TYPE_CHECKING:
    from nsad_cli.config.stages import Stage
    from nsad_cli.inference.session import Session
    from nsad_cli.training.stage_data import Corpus
    from nsad_cli.training.trainer import Objective, TrainResult


def load_objective(stage: Stage) -> Any:
    """Import the function that builds a stage's objective."""
    module, _, name = stage.objective.partition(":")
    return getattr(importlib.import_module(module), name)


class AdapterTraining:
    """Training of a LoRA, or of a LoRA with NAT's integration unit, on rationales; see stages.StageTraining."""

    def __init__(self, session: Session, stage: Stage, corpus: Corpus) -> None:
        self.session, self.stage, self.corpus = session, stage, corpus
        self.settings = session.recipe.training.of(stage.name)

    def data(self) -> StageData:
        """See StageTraining.data."""
        session, stage = self.session, self.stage
        if stage.learns_from is LearnsFrom.PAIRS:
            return contrastive_data(session, stage.name, self.settings, self.corpus)
        if stage.learns_from is LearnsFrom.NOTHING:
            return StageData((), (), [])
        rationales = rationales_for(stage, self.corpus)
        if session.recipe.training.own_samples(stage):
            rationales += own_rationales(session, stage, self.corpus)
        return rationale_data(session, stage, self.settings, rationales, self.corpus)

    def build(self) -> Objective[Any]:
        """See StageTraining.build."""
        session, stage = self.session, self.stage
        for name in stage.requires:
            session.load(name)
        seed = session.recipe.seed + stage.seed_offset
        if stage.companion is not None:
            session.adapters.add_nat(stage.name, session.adapter_settings, stage.companion, seed)
        else:
            session.adapters.add_lora(stage.name, session.adapter_settings, seed)
        objective: Objective[Any] = load_objective(stage)(session, stage, self.settings)
        return objective

    def shards_base(self, _objective: Objective[Any]) -> bool:
        """See StageTraining.shards_base; weights that are not trained are set on the whole base."""
        return self.stage.learns_from is not LearnsFrom.NOTHING

    def learn(self, objective: Objective[Any], data: StageData) -> TrainResult:
        """See StageTraining.learn."""
        if self.stage.learns_from is LearnsFrom.NOTHING:
            return set_untrained(self.session, self.stage.name)
        return train_by_steps(self.session, self.stage.name, objective, data)

    def save(self, _objective: Any, _data: StageData, _steps: int) -> dict[str, Any]:
        """See StageTraining.save."""
        if is_main_process():
            save_adapter(self.session.adapters, self.stage.name, self.session.run.adapter_path(self.stage.name))
        return {}
