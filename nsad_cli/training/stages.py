"""The training stages and their rivals: what each learns from, and where its adapter goes.

What deviates from the paper stands at the head of each objective's file (completion, nce, ranker, baselines) and of
nsad_cli/models/nat/layer.py.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from nsad_cli.rankers.base import ScoreHead, Scorer
from nsad_cli.rankers.encoder import open_encoder
from nsad_cli.rankers.head import HeadScorer
from nsad_cli.rankers.linear_probe import ProbeScorer
from nsad_cli.rankers.metadata import ADAPTER, PROBED_MODEL
from nsad_cli.rankers.storage import save_ranker
from nsad_cli.training.baselines import (
    BOTH_SIDES,
    BothSidesObjective,
    ContrastiveObjective,
    human_solutions,
    start_from,
)
from nsad_cli.training.likelihood import CompletionObjective
from nsad_cli.training.linear_probe import fit_probe
from nsad_cli.training.nce import NceObjective
from nsad_cli.training.ranker import Candidates, RankerObjective
from nsad_cli.training.ranker_calibration import calibrate, unseen_report
from nsad_cli.training.sharding import shard_base
from nsad_cli.training.stage_data import Corpus, StageData, contrastive_data, ranker_data, rationale_data
from nsad_cli.training.trainer import Objective, TrainResult, forget_checkpoints, train
from nsad_cli.utils.distributed import SHARDED, barrier, is_main_process, world_size
from nsad_cli.utils.files import weights_digest
from nsad_cli.utils.hashing import content_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nsad_cli.config.schema import StageConfig
    from nsad_cli.inference.session import Session
    from nsad_cli.types import Rationale
    from nsad_cli.utils.reporting import Note

BEFORE = {
    "nat": "negative",
    "nce": "nat",
    ADAPTER: "nce",
    "redi": "cot-kd",
    "nat-control": "positive",
    "self-distillation": "nat",
}
"""The stage whose weights a stage builds on."""


def train_negative(session: Session, corpus: Corpus, note: Note, *, force: bool = False) -> dict[str, Any]:
    """Train the negative adapter on D−.

    Raises NsadError where D− is empty.
    """
    settings = session.recipe.training.negative

    def build() -> Objective[Any]:
        session.adapters.add_lora("negative", session.adapter_settings, session.recipe.seed)
        return CompletionObjective(session.adapters, "negative", share=settings.share_prompts)

    return _train_stage(session, "negative", settings, corpus.negative, corpus, build, note, force)


def train_nat(session: Session, corpus: Corpus, note: Note, *, force: bool = False) -> dict[str, Any]:
    """Train the positive adapter and the integration unit on D+, beside the frozen negative adapter.

    Raises NsadError where D+ is empty or the negative adapter is not there.
    """
    settings = session.recipe.training.nat

    def build() -> Objective[Any]:
        session.load("negative")
        session.adapters.add_nat("nat", session.adapter_settings, "negative", session.recipe.seed + 1)
        return CompletionObjective(session.adapters, "nat", share=settings.share_prompts)

    return _train_stage(session, "nat", settings, corpus.positive, corpus, build, note, force)


def train_nce(
    session: Session,
    sample: Callable[[], Sequence[Rationale]],
    corpus: Corpus,
    note: Note,
    *,
    force: bool = False,
) -> dict[str, Any]:
    """Train a fresh LoRA student on D+ and NAT's own right chains, with NAT as its calibrated teacher.

    sample: draws those chains, called only where the settings ask for some and there is training to do. Raises
    NsadError where D+ is empty or NAT is not there.
    """
    settings = session.recipe.training.nce

    def build() -> Objective[Any]:
        session.load("negative")
        session.load("nat")
        session.adapters.add_lora("nce", session.adapter_settings, session.recipe.seed + 2)
        return NceObjective(session.adapters, lam=settings.lam, beta=settings.beta, share=settings.share_prompts)

    more = sample if settings.self_samples else None
    return _train_stage(session, "nce", settings, corpus.positive, corpus, build, note, force, more)


def train_baseline(
    session: Session,
    method: str,
    sample: Callable[[], Sequence[Rationale]],
    corpus: Corpus,
    note: Note,
    *,
    force: bool = False,
) -> dict[str, Any]:
    """Train a rival, or `positive`, the adapter that nat-control needs; see training.baselines.

    sample: as for train_nce, whose data self-distillation shares.
    Raises NsadError where its side of the rationales is empty, or what it builds on is not there.
    """
    recipe, settings = session.recipe, session.recipe.training.of(method)
    share, before = settings.share_prompts, BEFORE.get(method)

    def build() -> Objective[Any]:
        if before is not None:
            session.load(before)
        if method == "nat-control":
            session.adapters.add_nat(method, session.adapter_settings, "positive", recipe.seed + 1)
        else:
            session.adapters.add_lora(
                method, session.adapter_settings, recipe.seed + (0 if method == "positive" else 2)
            )
        if method == "redi":
            start_from(session.adapters, method, "cot-kd")
        if method == "cl":
            return ContrastiveObjective(session.adapters, share=share)
        if method == "self-distillation":
            lam = recipe.training.nce.lam
            return NceObjective(session.adapters, lam=lam, beta="fixed", name=method, share=share)
        kind = BothSidesObjective if method in ("nt", "ul", "redi") else CompletionObjective
        return kind(session.adapters, method, share=share)

    sides = (*corpus.positive, *corpus.negative)
    rationales = human_solutions(sides) if method == "ft" else sides if method in BOTH_SIDES else corpus.positive
    more = sample if method == "self-distillation" and recipe.training.nce.self_samples else None
    return _train_stage(session, method, settings, rationales, corpus, build, note, force, more)


def train_ranker(
    session: Session, sample: Callable[[], Sequence[Candidates]], corpus: Corpus, note: Note, *, force: bool = False
) -> dict[str, Any]:
    """Train the ranker on the student's own right and wrong chains, the teacher's beside them where they are few.

    sample: draws the student's own chains, called only where there is training to do. Its scores are calibrated on
    problems that it has not learned from. Raises NsadError where neither source gives a pair.
    """
    settings = session.recipe.training.ranker
    key = stage_key(session, ADAPTER, corpus)
    if not force and session.run.done(ADAPTER, key):
        return _already(session, ADAPTER, note)
    scorers: list[Scorer] = []

    def data() -> StageData:
        if settings.kind == "encoder":  # a missing one is told before anything is sampled
            scorers.append(untrained_ranker(session))
        own = sample()
        if settings.kind != "encoder":  # sampling loads the adapter that writes, and that freezes all others
            scorers.append(untrained_ranker(session))
        return ranker_data(session, scorers[0].example, own, corpus, note)

    def finish(objective: RankerObjective, found: StageData, steps: int) -> dict[str, Any]:
        calibration, report = calibrate(objective.scorer, found.graded, settings.pack_tokens)
        report["unseen"] = unseen_report(objective.scorer, calibration, found.unseen, settings.pack_tokens)
        session.run.emit(ADAPTER, steps, steps, **report)
        if is_main_process():
            reads = _made(session, PROBED_MODEL) or ""
            save_ranker(objective.scorer, calibration, session.run.adapter_path(ADAPTER), reads=reads)
        return {"kind": settings.kind, "objective": settings.objective, "calibration": report}

    return _run(
        session,
        ADAPTER,
        key,
        settings,
        data,
        lambda: RankerObjective(scorers.pop(), settings.objective),  # held nowhere else: it holds the student
        note,
        finish=finish,
    )


def untrained_ranker(session: Session) -> Scorer:
    """A ranker of the recipe's kind, before its training."""
    settings, seed = session.recipe.training.ranker, session.recipe.seed
    adapters, student = session.adapters, session.student
    if settings.kind == "encoder":
        return open_encoder(settings.model, adapters.model.device, seed)
    head = ScoreHead(student.model.config.get_text_config().hidden_size, seed)
    if settings.kind == "probe":
        session.load(PROBED_MODEL)
        adapters.train_only(None)
        return ProbeScorer(student, adapters, head)
    adapters.add_lora(ADAPTER, session.adapter_settings, seed + 3)
    adapters.train_only(ADAPTER)
    return HeadScorer(student, adapters, head)


def _train_stage(
    session: Session,
    stage: str,
    settings: StageConfig,
    rationales: Sequence[Rationale],
    corpus: Corpus,
    build: Callable[[], Objective[Any]],
    note: Note,
    force: bool,
    more: Callable[[], Sequence[Rationale]] | None = None,
) -> dict[str, Any]:
    key = stage_key(session, stage, corpus)
    if not force and session.run.done(stage, key):
        return _already(session, stage, note)

    def save(objective: Objective[Any], data: StageData, steps: int) -> dict[str, Any]:
        if is_main_process():
            session.adapters.save(stage, session.run.adapter_path(stage))
        return {}

    return _run(
        session,
        stage,
        key,
        settings,
        lambda: (
            contrastive_data(session, settings, corpus)
            if stage == "cl"
            else rationale_data(session, stage, settings, [*rationales, *(more() if more else [])], corpus, note)
        ),
        build,
        note,
        finish=save,
    )


def _run(
    session: Session,
    stage: str,
    key: str,
    settings: StageConfig,
    make_data: Callable[[], StageData],
    build: Callable[[], Any],
    note: Note,
    *,
    finish: Callable[[Any, StageData, int], dict[str, Any]],
) -> dict[str, Any]:
    """Train a stage in every process; `finish` saves what was learned, after so many steps, and has more to report."""
    run = session.run
    stale = run.stages().get(stage, {}).get("key") != key or run.done(stage, key)
    barrier()  # before the leading process writes what the others have just read
    if stale and is_main_process():
        forget_checkpoints(run, stage)
    with run.stage(stage, key) as result:
        session.drop(stage)
        data = make_data() if is_main_process() else None  # it may sample chains, which the others then find
        barrier()
        data = data or make_data()
        objective = build()
        if SHARDED and not (isinstance(objective, RankerObjective) and not objective.scorer.on_base):
            kept, whole = shard_base(session.adapters, objective)
            note(
                f"{stage}: the base is shared out over {world_size()} processes; "
                f"each keeps {kept / 1e6:.2f} of {whole / 1e6:.2f} MB"
            )
        outcome = _learn(session, stage, settings, objective, data, note)
        more = finish(objective, data, outcome.steps)
        if is_main_process():
            result.update(
                dataclasses.asdict(outcome),
                **data.counts,
                **more,
                examples=len(data.train),
                held_out=len(data.held_out),
                weights=weights_digest(run.adapter_path(stage)),
                problem_ids=data.problem_ids,
            )
    barrier()  # others may still read the best checkpoint
    if is_main_process():
        forget_checkpoints(run, stage)
    barrier()
    if SHARDED:
        del objective  # it holds the student
        session.reload()  # one process alone can neither sample from shards nor adapt them further
    else:
        session.adapters.record_alphas(False)
        session.adapters.model.eval()
        session.trained(stage)
    return dict(result)


def _learn(
    session: Session, stage: str, settings: StageConfig, objective: Objective[Any], data: StageData, note: Note
) -> TrainResult:
    """Train an objective by steps, or fit a probe."""
    run = session.run
    if isinstance(objective, RankerObjective) and isinstance(objective.scorer, ProbeScorer):
        return fit_probe(
            objective.scorer,
            data.train,
            data.held_out,
            objective=objective.objective,
            tokens=settings.pack_tokens,
            run=run,
            stage=stage,
        )
    return train(
        objective,
        data.train,
        data.held_out,
        stage=stage,
        run=run,
        settings=settings,
        seed=session.recipe.seed,
        on_cpu=session.student.model.device.type == "cpu",
        bf16=session.bf16,
        note=note,
    )


def stage_key(session: Session, stage: str, corpus: Corpus) -> str:
    """The key of a training stage with the run's recipe, its rationales, and the weights of the stage before it."""
    recipe = session.recipe
    settings = recipe.training.of(stage)
    before = BEFORE.get(stage)
    made = _made(session, before) if before else None
    if stage == ADAPTER or (stage in ("nce", "self-distillation") and recipe.training.nce.self_samples):
        return content_key(stage, _shared(session), settings, recipe.sampling, corpus.key, made)
    unit = recipe.adapter.unit if stage in ("nat", "nat-control") else None
    lam = [recipe.training.nce.lam, recipe.training.nce.self_samples] if stage == "self-distillation" else None
    return content_key(stage, _shared(session), unit, lam, settings, corpus.key, made)


def _shared(session: Session) -> list[Any]:
    recipe = session.recipe
    return [
        recipe.student.model,
        recipe.student.template,
        recipe.student.dtype,
        recipe.student.load_in_4bit,
        recipe.adapter.model_dump(exclude={"unit"}),
        recipe.seed,
        recipe.training.held_out,
        recipe.training.max_held_out,
    ]


def _made(session: Session, stage: str) -> str | None:
    """The digest of a finished stage's weights: what was trained on them is stale once they change."""
    weights: str | None = session.run.stages().get(stage, {}).get("result", {}).get("weights")
    return weights


def _already(session: Session, stage: str, note: Note) -> dict[str, Any]:
    note(f"{stage}: already done with these settings")
    return dict(session.run.stages()[stage]["result"])
