"""Training of a stage: data, objective, steps, and what is saved and recorded.

Deviations from the paper are listed at the head of each objective's file (likelihood, nce, ranker, baselines) and of
models/nat/layer.py.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

from nsad_cli.config.engine_spec import parse_engine
from nsad_cli.config.ranker_kinds import COMBINED, STEPS
from nsad_cli.config.stages import table_entry
from nsad_cli.runs.base_model import base_fingerprint, base_key, is_intact
from nsad_cli.runs.negative_effect import KEY, checked_effect
from nsad_cli.training.adapter_stage import AdapterTraining
from nsad_cli.training.fitted_ranker import CombinedTraining, make_steps_ranker
from nsad_cli.training.ranker_stage import RankerTraining
from nsad_cli.training.sharding import shard_base
from nsad_cli.training.stage_data import Corpus, StageData, with_human_solutions
from nsad_cli.training.trainer import TrainResult, forget_checkpoints
from nsad_cli.training.trl_rivals import TrlTraining
from nsad_cli.utils.distributed import SHARDED, barrier, is_main_process, world_size
from nsad_cli.utils.files import folder_digest, weights_digest
from nsad_cli.utils.hashing import content_key
from nsad_cli.utils.logs import logger, note

if TYPE_CHECKING:
    from nsad_cli.config.stages import Stage
    from nsad_cli.inference.session import Session
    from nsad_cli.runs.run import Run


class StageTraining(Protocol):
    """The parts of a stage's training that depend on what it trains."""

    def data(self) -> StageData:
        """Build the training and held-out data; it may sample chains, which other processes then find in the run."""

    def build(self) -> Any:
        """Add what is trained to the model and return its objective, or what else `learn` needs."""

    def shards_base(self, objective: Any) -> bool:
        """Return whether the objective runs on the student's base, which FSDP can shard."""

    def learn(self, objective: Any, data: StageData) -> TrainResult:
        """Train the objective."""

    def save(self, objective: Any, data: StageData, steps: int) -> dict[str, Any]:
        """Save what was trained after `steps` steps; return additional entries of the stage's result."""


def train_stage(session: Session, stage: Stage, corpus: Corpus, *, force: bool = False) -> dict[str, Any]:
    """Train a stage of the table, or return its result if it has finished with these settings and inputs.

    Args:
        session: The run's models.
        stage: An entry of the table of stages.
        corpus: The run's right and wrong rationales.
        force: Train again even if nothing has changed.

    Returns:
        The stage's result, as the manifest records it.

    Raises:
        NsadError: No training data is left, or an adapter that the stage builds on is missing.
    """
    if stage.sees_solutions and session.recipe.training.baseline_human_solutions:
        corpus = with_human_solutions(corpus)
    key = stage_key(session, stage, corpus)
    logger.debug("%s: stage key %s", stage.name, key)
    if not force and session.run.done(stage.name, key) and is_intact(session.run, stage.name):
        note(f"{stage.name}: already done with these settings")
        return dict(session.run.stages()[stage.name]["result"])
    kind = session.recipe.training.ranker.kind if stage.adapter == "scorer" else None
    if kind == STEPS:
        return _run_without_training(session, stage, key, corpus)
    training: StageTraining
    if kind == COMBINED:
        training = CombinedTraining(session, stage, corpus)
    elif kind is not None:
        training = RankerTraining(session, stage, corpus)
    elif stage.trainer == "trl":
        training = TrlTraining(session, stage, corpus)
    else:
        training = AdapterTraining(session, stage, corpus)
    return _run(session, stage.name, key, training)


def _run_without_training(session: Session, stage: Stage, key: str, corpus: Corpus) -> dict[str, Any]:
    """Record the stage of a ranker that needs no training; the student is loaded only if chains are sampled."""
    run = session.run
    with run.stage(stage.name, key) as result:
        made, ids = make_steps_ranker(session, stage, corpus)
        if is_main_process():
            result.update(made, problem_ids=ids, **_recorded(session, stage.name))
    session.forget_ranker()
    return dict(result)


def _recorded(session: Session, stage: str) -> dict[str, Any]:
    """What every stage's result records of its weights and what they depend on."""
    run = session.run
    return {
        "weights": weights_digest(run.adapter_path(stage)),
        "files": folder_digest(run.adapter_path(stage)),
        "base": base_fingerprint(run, session.recipe),
        "dtype": session.recipe.student.dtype,
    }


def _run(session: Session, stage: str, key: str, training: StageTraining) -> dict[str, Any]:
    """Train a stage in every process; the main process saves what was learned and records the result."""
    run = session.run
    stale = run.stages().get(stage, {}).get("key") != key or run.done(stage, key)
    barrier()  # before the main process writes what the others have just read
    if stale and is_main_process():
        forget_checkpoints(run, stage)
    with run.stage(stage, key) as result:
        session.drop(stage)
        data = training.data() if is_main_process() else None
        barrier()
        data = data or training.data()
        objective = training.build()
        if SHARDED and training.shards_base(objective):
            local_bytes, total_bytes = shard_base(session.adapters, objective)
            note(
                f"{stage}: the base is sharded over {world_size()} processes; "
                f"each holds {local_bytes / 1e6:.2f} of {total_bytes / 1e6:.2f} MB"
            )
        outcome = training.learn(objective, data)
        more = training.save(objective, data, outcome.steps)
        if is_main_process():
            result.update(
                dataclasses.asdict(outcome),
                **data.counts,
                **_effect(run, stage, outcome.best_step),
                **more,
                examples=len(data.train),
                held_out=len(data.held_out),
                problem_ids=data.problem_ids,
                **_recorded(session, stage),
            )
    barrier()  # other processes may still read the best checkpoint
    if is_main_process():
        forget_checkpoints(run, stage)
    barrier()
    if SHARDED:
        del objective  # it references the student
        session.reload()  # a single process can neither sample from a sharded base nor add adapters to it
    else:
        session.adapters.layers.record_alphas(False)
        session.adapters.train_only(None)  # as in a process that loads the adapter, which samples the same chains
        session.adapters.model.eval()
        session.mark_trained(stage)
    return dict(result)


def _effect(run: Run, stage: str, step: int) -> dict[str, Any]:
    """Return the effect of the negative branch of the weights that are used; nothing if no check has measured it."""
    effect = checked_effect(run.path / "events.jsonl", stage, step) if table_entry(stage).companion else None
    return {} if effect is None else {KEY: effect}


def stage_key(session: Session, stage: Stage, corpus: Corpus) -> str:
    """Hash the settings and inputs of a training stage: it is trained again when one of them changes."""
    recipe = session.recipe
    settings = recipe.training.of(stage.name)
    built_on = _weights(session, stage.requires[0]) if stage.requires else None
    also_on: list[Any] = [_weights(session, name) for name in stage.requires[1:]]
    if stage.adapter == "scorer" or recipe.training.own_samples(stage):
        more = ["drop_wrong_steps"] if recipe.training.drop_wrong_steps and stage.adapter != "scorer" else []
        engine = parse_engine(recipe.sampling_engine).name
        more += [] if engine == "hf" else [engine]
        return content_key(
            stage.name, _shared(session), settings, recipe.sampling, corpus.key, built_on, *more, *also_on
        )
    also_on += [recipe.sampling] if stage.on_policy else []
    unit = recipe.adapter.unit if stage.adapter == "nat" else None
    distilled = stage.section != stage.name and stage.samples_from
    lam = [recipe.training.nce.lam, recipe.training.nce.self_samples] if distilled else None
    return content_key(stage.name, _shared(session), unit, lam, settings, corpus.key, built_on, *also_on)


def _shared(session: Session) -> list[Any]:
    recipe = session.recipe
    return [
        base_key(session.run, recipe),
        recipe.student.template,
        recipe.student.dtype,
        recipe.student.load_in_4bit,
        recipe.adapter.model_dump(exclude={"unit"}),
        recipe.seed,
        recipe.training.held_out,
        recipe.training.max_held_out,
        *(["keep", recipe.training.keep] if recipe.training.keep != "best" else []),  # keys of earlier versions stay
    ]


def _weights(session: Session, stage: str) -> str | None:
    """Return the digest of a finished stage's weights, or None."""
    weights: str | None = session.run.stages().get(stage, {}).get("result", {}).get("weights")
    return weights
