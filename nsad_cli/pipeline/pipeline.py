"""Execution of a recipe's stages in order; finished stages are skipped, so running again resumes."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from nsad_cli.config.stages import (
    COLLECT,
    EVAL,
    EVAL_BEFORE,
    GRADE,
    UNTRAINED,
    Kind,
    stages,
    stages_for,
    with_prerequisites,
)
from nsad_cli.errors import NsadError
from nsad_cli.evaluation.measure import evaluate_models, evaluation_key, load_benchmarks
from nsad_cli.pipeline.collect_stage import collect_stage, finished_stage, grade_stage, graded_rationales
from nsad_cli.problems.decontamination import Leaks, find_leaks
from nsad_cli.runs.records import collected_problems
from nsad_cli.runs.trackers.listener import tracking
from nsad_cli.training.trl_library import require_trl
from nsad_cli.utils.devices import select_gpu
from nsad_cli.utils.distributed import SHARDED, barrier, is_main_process
from nsad_cli.utils.logs import note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.config.schema import Recipe
    from nsad_cli.inference.session import Session
    from nsad_cli.runs.run import Run
    from nsad_cli.training.stage_data import Corpus


def run_stages(run: Run, names: Sequence[str], *, force: bool = False) -> dict[str, dict[str, Any]]:
    """Run stages of a run's recipe in the given order; stages that have finished with these settings are skipped.

    Baselines and auxiliary stages that a stage requires are run before it.

    Args:
        run: The run.
        names: Stages and baselines of the table of stages.
        force: Run finished stages again.

    Returns:
        Each stage's result.

    Raises:
        NsadError: A stage failed; its finished work is kept. Or an optional package is missing.
    """
    if any(stages()[name].trains for name in names):
        require_trainable(run.recipe)
        require_trl(names)
    with run.lock(), tracking(run):
        pipeline = Pipeline(run, force)
        wanted = with_prerequisites(names, run.recipe.training.negative.source)
        return {name: pipeline.step(name) for name in wanted}


class Pipeline:
    """The stages of one run, with the models and data that they share in memory."""

    def __init__(self, run: Run, force: bool = False) -> None:
        self.run, self.force = run, force
        self.recipe = run.recipe
        self.table = stages_for(self.recipe.training.negative.source)

    def step(self, name: str) -> dict[str, Any]:
        """Run one stage; only training is shared by all processes, the main process does everything else."""
        trains = stages()[name].trains
        if is_main_process() or trains:
            result = self._train(name) if trains else self._run_in_main_process(name)
        barrier()
        return result if is_main_process() else dict(self.run.stages().get(name, {}).get("result", {}))

    def _run_in_main_process(self, name: str) -> dict[str, Any]:
        steps = {
            COLLECT.name: lambda: collect_stage(self.run, force=self.force),
            GRADE.name: lambda: grade_stage(self.run, force=self.force),
            EVAL_BEFORE.name: lambda: self.evaluate(name, UNTRAINED[:1], samples=0),
            EVAL.name: lambda: self.evaluate(name, trained_models(self.recipe), self.recipe.evaluation.samples),
        }
        return steps[name]()

    def _train(self, name: str) -> dict[str, Any]:
        stage = self.table[name]
        for required in stage.requires:
            if self.table[required].kind is Kind.TRAINING:
                finished_stage(self.run, required)
        corpus = self.corpus()  # before the student is loaded, since it fails if nothing is graded
        from nsad_cli.training.stages import train_stage

        return train_stage(self.session, stage, corpus, force=self.force)

    def stage_key(self, name: str) -> str:
        """Return the key of a training stage; see training.stages.stage_key."""
        from nsad_cli.training.stages import stage_key

        return stage_key(self.session, self.table[name], self.corpus())

    @functools.cached_property
    def session(self) -> Session:
        """The models; loaded on first use, because importing and loading take seconds."""
        note("loading the student …")
        select_gpu(self.recipe.student.device)
        from nsad_cli.inference.session import Session

        return Session(self.run, self.recipe)

    @functools.cached_property
    def leaks(self) -> Leaks:
        """The collected problems that overlap with the run's evaluation, logged once; training excludes them."""
        problems = collected_problems(self.run)
        leaks = find_leaks(self.recipe, problems)
        if leaks.ids:
            note(f"{leaks.describe(len(problems))}; training excludes them (training.keep_overlap=true keeps them)")
        return leaks

    def corpus(self) -> Corpus:
        """Return D+ and D− without the problems that overlap with the run's evaluation.

        A stage's key includes a hash of the corpus, so a stage that was trained on other problems is trained again.

        Raises:
            NsadError: Nothing is left.
        """
        from nsad_cli.training.stage_data import make_corpus

        sides, excluded = graded_rationales(self.run), self.leaks.ids
        positive, negative = ([item for item in side if item.problem.id not in excluded] for side in sides)
        if any(sides) and not positive and not negative:
            raise NsadError(
                "no training problem is left",
                f"{self.leaks.describe(len(collected_problems(self.run)))}; no other has a right or wrong rationale",
                "collect other problems, evaluate on other benchmarks, or keep them: --set training.keep_overlap=true",
            )
        return make_corpus(positive, negative, self.recipe)

    def evaluate(self, stage: str, models: Sequence[str], samples: int) -> dict[str, Any]:
        """Evaluate models on the recipe's benchmarks: greedy answers, and votes over `samples` chains per problem."""
        settings = self.recipe.evaluation
        if not settings.benchmarks:
            note(f"{stage}: the recipe names no benchmarks")
            with self.run.stage(stage, "no benchmarks") as nothing:
                nothing["results"] = []
            return nothing
        benchmarks = load_benchmarks(self.run, settings.benchmarks, settings.limit, self.leaks)
        key = evaluation_key(self.run, stage, models, samples, benchmarks)
        if not self.force and self.run.done(stage, key):
            note(f"{stage}: already done with these settings")
            return dict(self.run.stages()[stage]["result"])
        with self.run.stage(stage, key) as result:
            result.update(
                evaluate_models(self.session, stage=stage, models=models, benchmarks=benchmarks, samples=samples)
            )
        return dict(result)


def trained_models(recipe: Recipe) -> list[str]:
    """Return the models of a recipe's evaluation after training."""
    return [name for name in recipe.evaluation.models if name != UNTRAINED[0]]


def require_trainable(recipe: Recipe) -> None:
    """Raise NsadError if the student's settings do not allow training, before anything is spent."""
    student = recipe.student
    if student.dtype == "float16":
        raise NsadError(
            "training in float16 is not supported",
            "small gradients underflow without loss scaling",
            "set student.dtype (--dtype) to bfloat16 or float32; float16 is for inference only",
        )
    if student.load_in_4bit and SHARDED:
        raise NsadError(
            "a 4-bit base cannot be sharded",
            "sharding does not support its packed weights",
            "set student.load_in_4bit to false, or launch without FSDP: each process then has the whole base",
        )
