"""`nsad train-nat`, `train-nce`, `train-ranker` and `train-baseline`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsad_cli.cli.console import print_json
from nsad_cli.cli.options import (
    AsJson,
    Device,
    Dtype,
    Force,
    RunName,
    SamplingEngine,
    Settings,
    StudentModel,
    one_of,
    parse_settings,
)
from nsad_cli.config.choices import RANKER_OBJECTIVES
from nsad_cli.config.ranker_kinds import ENCODER, ranker_kinds
from nsad_cli.config.stages import trained_by
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from nsad_cli.runs.run import Run

Epochs = Annotated[float | None, typer.Option("--epochs", help="Passes over the training data.")]
LearningRate = Annotated[float | None, typer.Option("--learning-rate")]
BatchSize = Annotated[int | None, typer.Option("--batch-size", help="Sequences per step.")]
Tokens = Annotated[
    int | None, typer.Option("--tokens", min=1, help="Tokens to train on in each stage, instead of epochs.")
]


def train_nat(
    run_name: RunName = None,
    student: StudentModel = None,
    device: Device = None,
    dtype: Dtype = None,
    epochs: Epochs = None,
    tokens: Tokens = None,
    learning_rate: LearningRate = None,
    batch_size: BatchSize = None,
    settings: Settings = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Train the negative adapter on D−, then NAT (positive adapter and integration unit) on D+."""
    _train(
        trained_by("train-nat"),
        run_name,
        student,
        device,
        dtype,
        epochs,
        tokens,
        learning_rate,
        batch_size,
        settings,
        force,
        as_json,
        "nsad train-nce",
    )


def train_nce(
    run_name: RunName = None,
    student: StudentModel = None,
    device: Device = None,
    dtype: Dtype = None,
    epochs: Epochs = None,
    tokens: Tokens = None,
    learning_rate: LearningRate = None,
    batch_size: BatchSize = None,
    engine: SamplingEngine = None,
    settings: Settings = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Train the student, an ordinary LoRA, with NAT as its calibrated teacher."""
    _train(
        trained_by("train-nce"),
        run_name,
        student,
        device,
        dtype,
        epochs,
        tokens,
        learning_rate,
        batch_size,
        settings,
        force,
        as_json,
        "nsad train-ranker",
        {"sampling.engine": engine},
    )


def train_ranker(
    run_name: RunName = None,
    student: StudentModel = None,
    device: Device = None,
    dtype: Dtype = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            callback=one_of("--kind", ranker_kinds),
            help="combined (log-probabilities, step checks, hidden states), steps (no training), head (on the student's"
            " base), implicit-prm (a likelihood ratio), probe (on the student's hidden states) or encoder.",
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            "--objective",
            callback=one_of("--objective", lambda: RANKER_OBJECTIVES),
            help="power, bradley-terry or bce.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="The encoder: a folder or a Hub id (sequence classifier or T5).")
    ] = None,
    epochs: Epochs = None,
    tokens: Tokens = None,
    learning_rate: LearningRate = None,
    batch_size: BatchSize = None,
    engine: SamplingEngine = None,
    settings: Settings = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Fit or train the ranker on chains that the student samples, measure it, and fit the weights of votes."""
    if kind is not None and kind != ENCODER and model is None:
        model = ""  # override an encoder set in the run's recipe
    _train(
        trained_by("train-ranker"),
        run_name,
        student,
        device,
        dtype,
        epochs,
        tokens,
        learning_rate,
        batch_size,
        settings,
        force,
        as_json,
        "nsad eval",
        {
            "training.ranker.model": model,
            "training.ranker.kind": kind,
            "training.ranker.objective": objective,
            "sampling.engine": engine,
        },
    )


def _train(
    stages: Sequence[str],
    run_name: str | None,
    student: str | None,
    device: str | None,
    dtype: str | None,
    epochs: float | None,
    tokens: int | None,
    learning_rate: float | None,
    batch_size: int | None,
    settings: list[str] | None,
    force: bool,
    as_json: bool,
    following: str,
    more: Mapping[str, Any] | None = None,
) -> None:
    from nsad_cli.cli.run_selection import existing_run

    overrides: dict[str, Any] = {"student.model": student, "student.device": device, "student.dtype": dtype}
    for stage in stages:
        overrides |= {
            f"training.{stage}.epochs": epochs,
            f"training.{stage}.tokens": tokens,
            f"training.{stage}.learning_rate": learning_rate,
            f"training.{stage}.batch_size": batch_size,
        }
    run = existing_run(run_name, {**overrides, **(more or {}), **parse_settings(settings)})
    _report(run, stages, force, as_json, following)


def train_baseline(
    methods: Annotated[
        list[str],
        typer.Argument(
            metavar="METHOD…",
            help="One or more of: ft, cot-kd, mix, nt, ul, cl, critical-tokens, wrong-first, right-first, "
            "labelled, labelled-right, redi, nat-control, self-distillation; with the extra `trl`: dpo, kto, gkd.",
        ),
    ],
    run_name: RunName = None,
    device: Device = None,
    epochs: Epochs = None,
    tokens: Tokens = None,
    learning_rate: LearningRate = None,
    batch_size: BatchSize = None,
    settings: Settings = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Train baselines on the same rationales as NAT and NCE, with NAT's settings or the given ones."""
    from nsad_cli.cli.run_selection import existing_run
    from nsad_cli.config.stages import baselines
    from nsad_cli.errors import UsageError, did_you_mean

    for name in methods:
        if name not in baselines():
            hint = did_you_mean(name, baselines())
            fix = f"{hint + ' ' if hint else ''}baselines: {', '.join(baselines())}"
            raise UsageError(f"unknown baseline `{name}`", "there is no baseline of that name", fix)
    run = existing_run(run_name, {"student.device": device, **parse_settings(settings)})
    flags = {"epochs": epochs, "tokens": tokens, "learning_rate": learning_rate, "batch_size": batch_size}
    given = {key: value for key, value in flags.items() if value is not None}
    if given:
        existing_run(run.name, {"training.baseline": {**run.recipe.training.baseline, **given}})
    _report(run, methods, force, as_json, "nsad eval --model " + " --model ".join(methods))


def _report(run: Run, stages: Sequence[str], force: bool, as_json: bool, following: str) -> None:
    from nsad_cli.cli.run_selection import execute

    results = {
        stage: {key: value for key, value in result.items() if key != "problem_ids"}
        for stage, result in execute(run, stages, force=force).items()
    }
    if as_json:
        print_json({"run": run.name, "stages": results})
        return
    for stage, result in results.items():
        held = result["held_out_loss"]
        note(
            f"{stage}: {result['examples']} examples, {result['tokens']} tokens in {result['steps']} steps, "
            f"{result['trained_parameters']:,} parameters, held-out loss {'–' if held is None else f'{held:.4f}'} "
            f"(step {result['best_step']} kept), {result['seconds']:.0f} s → {run.adapter_path(stage)}"
        )
        if "calibration" in result:
            note(f"{stage}: {_ranker_summary(result['calibration'])}")
        if "ranking" in result:
            note(f"{stage}: {_ranking_summary(result['ranking'])}")
    note(f"next: {following} --run {run.name}")


def _ranking_summary(report: Mapping[str, Any]) -> str:
    """Describe how a ranker ranks the chains that it was measured on, beside scores that need no training."""
    measured = report["measured"]
    where = "that no stage trained on" if report["unseen_problems"] else "of the training problems"
    text = f"{measured['chains']} chains ({measured['right']} right) for problems {where}: "
    pairs = measured["pair_accuracy"]
    if pairs["value"] is None:
        text += "no pair to rank"
    else:
        text += (
            f"{_interval(pairs)} of {pairs['pairs']} pairs within a problem ranked correctly, AUC {measured['auc']:.2f}"
        )
        text += f", calibration error {measured['ece']:.3f}"
    free = [f"{name} {_interval(one['pair_accuracy'])}" for name, one in measured["free"].items() if one["auc"]]
    text += f". Without training: {', '.join(free)}" if free else ""
    weighting = report["weighting"]
    text += f". Weights: {'odds' if weighting['form'] == 'odds' else 'share'} ** {weighting['exponent']:g}"
    if report["refused"]:
        text += f". Refused: {report['refused']}; `solve` counts by sc"
    return text


def _interval(pairs: Mapping[str, Any]) -> str:
    if pairs["value"] is None:
        return "–"
    between = "" if pairs["low"] is None else f" ({pairs['low']:.0%}–{pairs['high']:.0%})"
    return f"{pairs['value']:.0%}{between}"


def _ranker_summary(report: Mapping[str, Any]) -> str:
    """Describe a ranker's accuracy and calibration on held-out problems."""
    accuracy, before = report["ranking_accuracy"], report["ece_before"]
    text = f"{report['chains']} chains of {report['problems']} held-out problems"
    text += f" ({report['right']} right): "
    if accuracy is None:
        text += "no pair to rank"
    else:
        text += f"{accuracy:.0%} of {report['pairs']} pairs within a problem ranked correctly"
        text += ", no better than chance: asc votes may be worse than sc" if accuracy <= 0.5 else ""
    text += "" if before is None else f"; calibration error {before:.3f}"
    if report["calibrated"]:
        text += f", calibrated {report['ece_after']:.3f}"
    else:
        text += f"; not calibrated: {report['why']}"
    if unseen := report.get("unseen"):
        text += (
            f". On {unseen['problems']} problems that the student was not trained on either, "
            f"{unseen['right']} of {unseen['chains']} chains are right, error {unseen['ece']:.3f}"
        )
    return text
