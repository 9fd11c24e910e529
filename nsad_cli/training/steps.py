"""Training of an objective with the settings of a run's stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import stages
from nsad_cli.training.trainer import Objective, TrainResult, train

if TYPE_CHECKING:
    from nsad_cli.config.schema import StageConfig
    from nsad_cli.inference.session import Session
    from nsad_cli.training.stage_data import StageData


def train_by_steps(
    session: Session, stage: str, objective: Objective[Any], data: StageData, settings: StageConfig | None = None
) -> TrainResult:
    """Train an objective on a stage's data, with the recipe's settings or others; see trainer.train.

    A scorer always keeps its best weights.
    """
    return train(
        objective,
        data.train,
        data.held_out,
        stage=stage,
        run=session.run,
        settings=settings or session.recipe.training.of(stage),
        seed=session.recipe.seed,
        on_cpu=session.student.model.device.type == "cpu",
        bf16=session.bf16,
        keep_best=session.recipe.training.keep == "best" or stages()[stage].adapter == "scorer",
    )
