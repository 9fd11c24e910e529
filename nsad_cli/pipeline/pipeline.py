"""A recipe's stages in order; each knows whether it is done, so running again resumes."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from nsad_cli.collection.budget import Budget, price_of
from nsad_cli.collection.collect import CollectSummary, collect, collect_until, params_key
from nsad_cli.config import prompts
from nsad_cli.config.schema import BASELINES, Recipe
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.evaluation.measure import evaluate_models, evaluation_key, load_benchmarks
from nsad_cli.grading.checker import Checker
from nsad_cli.grading.grade import grade, ledger
from nsad_cli.pipeline.collect_stage import (
    collect_key,
    collected,
    distinct,
    grade_key,
    keep_labels,
    training_problems,
    with_known_answers,
)
from nsad_cli.problems.decontamination import Leaks, find_leaks
from nsad_cli.runs.records import collected_problems
from nsad_cli.store.rationales import Store
from nsad_cli.teachers import Teacher, make_teacher
from nsad_cli.types import Problem, Rationale, Verdict
from nsad_cli.utils.distributed import SHARDED, barrier, is_main_process
from nsad_cli.utils.files import first_few

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nsad_cli.inference.session import Session
    from nsad_cli.runs.run import Run
    from nsad_cli.training.stage_data import Corpus
    from nsad_cli.utils.reporting import Note

ALONE = ("collect", "grade", "eval-before", "eval")
"""Stages that one process does for all."""


def run_stages(run: Run, stages: Sequence[str], *, note: Note, force: bool = False) -> dict[str, dict[str, Any]]:
    """Run stages of a run's recipe in the order given; a finished one with unchanged settings is passed over.

    Returns each stage's result. Raises NsadError where a stage cannot go on; what it had done is kept.
    """
    if not set(stages) <= set(ALONE):
        require_trainable(run.recipe)
    with run.lock():
        pipeline = Pipeline(run, note, force)
        return {stage: pipeline.step(stage) for stage in stages}


class Pipeline:
    """The stages of one run, with what they share in memory."""

    def __init__(self, run: Run, note: Note, force: bool = False) -> None:
        self.run, self.note, self.force = run, note, force
        self.recipe = run.recipe
        self._session: Session | None = None
        self.steps: Mapping[str, Callable[[], dict[str, Any]]] = {
            "collect": self.collect,
            "grade": self.grade,
            "eval-before": lambda: self.evaluate("eval-before", ["base"], samples=0),
            "negative": self.negative,
            "nat": self.nat,
            "nce": self.nce,
            "ranker": self.ranker,
            "eval": lambda: self.evaluate("eval", [name for name in self.recipe.evaluation.models if name != "base"]),
            **{name: functools.partial(self.baseline, name) for name in ("positive", *BASELINES)},
        }

    def step(self, stage: str) -> dict[str, Any]:
        """Run one stage; what is not training is the leading process's work alone."""
        if is_main_process() or stage not in ALONE:
            result = self.steps[stage]()
        barrier()
        return result if is_main_process() else dict(self.run.stages().get(stage, {}).get("result", {}))

    @property
    def session(self) -> Session:
        """The models; importing and loading them takes seconds, so only a stage that needs them does."""
        if self._session is None:
            self.note("loading the student …")
            from nsad_cli.inference.session import Session

            self._session = Session(self.run, self.recipe, self.note)
        return self._session

    # --- rationales -----------------------------------------------------------------------------------------------

    def collect(self) -> dict[str, Any]:
        """Draw rationales from the teacher into the store."""
        key = collect_key(self.recipe)
        if not self.force and collected(self.run, key):
            self.note("collect: already done with these settings")
            return dict(self.run.stages()["collect"]["result"])
        with self.run.stage("collect", key) as result:
            teacher = make_teacher(self.recipe.teacher.spec, self.recipe.teacher, on_corrupt=first_few(self.note))
            problems = distinct(training_problems(self.recipe, teacher, self.note), self.note)
            settings = self.recipe.teacher
            prompt = prompts.text_prompt(settings.demonstrations, settings.prompt, "{question}")
            budget = Budget(price_of(settings), settings.max_cost, prompt, settings.max_tokens)
            with Store(self.run.store_path) as store:
                problems = with_known_answers(problems, store)
                summary = self._collect(problems, teacher, store, budget)
                keep_labels(problems, teacher, store)
            failures = [f"{pid}: {why}" for pid, why in summary.failures.items()]
            for failure in failures[:5]:
                self.note(f"collect: {failure}")
            if summary.out_of_money:
                self.note(
                    f"collect: stopped before teacher.max_cost (${settings.max_cost:g} for each command) could be "
                    f"passed; ${budget.spent:.4f} spent"
                )
            if budget.unsure:
                self.note(
                    f"collect: up to ${budget.unsure:.4f} more for replies that were lost or did not state their usage"
                )
            if summary.in_batches:
                self.note(
                    f"collect: {summary.in_batches} draws are in batches under way, and were not asked for; "
                    f"fetch them with `{self._how_to_fetch()}`"
                )
            if failures and not summary.stored:
                raise NsadError(
                    "collect: the teacher answered nothing",
                    failures[0],
                    "mend that and run the same command again: draws that arrived are kept",
                )
            result.update(
                teacher=teacher.name,
                params=params_key(teacher),
                problems=len(problems),
                problem_ids=[item.id for item in problems],
                draws=summary.stored,
                new=summary.new,
                failed=len(summary.failures),
                out_of_money=summary.out_of_money,
                in_batches=summary.in_batches,
                tokens=summary.tokens,
                cost=budget.spent if budget.price is not None else None,
                cost_unsure=budget.unsure,
            )
        return dict(result)

    def _collect(self, problems: list[Problem], teacher: Teacher, store: Store, budget: Budget) -> CollectSummary:
        settings, progress = self.recipe.teacher, self.run.progress("collect")
        gather: Callable[..., CollectSummary] = self._collect_batches if settings.batch else collect
        if settings.until is None:
            return gather(problems, teacher, settings.draws, store, progress, budget=budget)
        with Checker() as checker:
            return collect_until(
                problems,
                teacher,
                settings.draws,
                settings.until,
                store,
                lambda: grade(store, checker, params=params_key(teacher)),
                progress,
                budget=budget,
                gather=gather,
            )

    def _collect_batches(
        self, problems: Sequence[Problem], teacher: Teacher, draws: int, store: Store, *rest: Any, **more: Any
    ) -> CollectSummary:
        """collect_batches; an interrupt leaves the batches under way and says how to go on with them."""
        from nsad_cli.collection.batch_collect import collect_batches
        from nsad_cli.teachers.openai import OpenAITeacher

        try:
            assert isinstance(teacher, OpenAITeacher)  # make_teacher sees to it
            return collect_batches(problems, teacher, draws, store, *rest, **more)
        except KeyboardInterrupt:
            held = store.in_batches(teacher.name, params_key(teacher))
            if held:
                self.note(
                    f"collect: {sum(map(len, held.values()))} draws stay with the API, in batches that go on without "
                    f"us; fetch them with `{self._how_to_fetch()}`"
                )
            raise

    def _how_to_fetch(self) -> str:
        return f"nsad collect --batch --run {self.run.name}"

    def grade(self) -> dict[str, Any]:
        """Give every draw of the run a verdict."""
        collection = self._needs("collect", "nsad collect")
        key, params = grade_key(collection), collection["result"]["params"]
        if not self.force and self.run.done("grade", key):
            self.note("grade: already done with these settings")
            with Store(self.run.store_path) as store:  # people may have reviewed since
                return {"ledger": ledger(store, params).as_dict()}
        with self.run.stage("grade", key) as result, Store(self.run.store_path) as store, Checker() as checker:
            if self.force:
                store.forget_verdicts(params)
            found = grade(store, checker, self.run.progress("grade"), params=params)
            result.update(ledger=found.as_dict())
        return dict(result)

    def rationales(self) -> tuple[list[Rationale], list[Rationale]]:
        """D+ and D− of this run's problems and teacher."""
        self._needs("grade", "nsad grade")
        collection = self._needs("collect", "nsad collect")["result"]
        mine, until = set(collection["problem_ids"]), self.recipe.teacher.until
        most = max(self.recipe.teacher.draws, until.max_draws if until else 0)
        with Store(self.run.store_path) as store:
            positive, negative = (
                [
                    item
                    for item in store.rationales(verdict, teacher=collection["teacher"], params=collection["params"])
                    if item.problem.id in mine and item.index < most
                ]
                for verdict in (Verdict.CORRECT, Verdict.WRONG)
            )
        return positive, negative

    @functools.cached_property
    def leaks(self) -> Leaks:
        """The collected problems that overlap with the run's evaluation, told once; training leaves them out."""
        problems = collected_problems(self.run)
        leaks = find_leaks(self.recipe, problems)
        if leaks.ids:
            self.note(f"{leaks.told(len(problems))}; training leaves them out (training.keep_overlap=true keeps them)")
        return leaks

    def corpus(self) -> Corpus:
        """What training may learn from: D+ and D− without the problems that overlap with the run's evaluation.

        A stage's key holds a hash of it, so what was trained on other problems is stale. Raises NsadError where
        nothing is left.
        """
        from nsad_cli.training.stage_data import make_corpus

        sides, left_out = self.rationales(), self.leaks.ids
        positive, negative = ([item for item in side if item.problem.id not in left_out] for side in sides)
        if any(sides) and not positive and not negative:
            raise NsadError(
                "no training problem is left",
                f"{self.leaks.told(len(collected_problems(self.run)))}, and none else has a right or wrong rationale",
                "collect other problems, evaluate on other benchmarks, or keep them: --set training.keep_overlap=true",
            )
        return make_corpus(positive, negative, share=self.recipe.training.held_out, seed=self.recipe.seed)

    # --- training -------------------------------------------------------------------------------------------------

    def negative(self) -> dict[str, Any]:
        """Train the negative adapter."""
        from nsad_cli.training.stages import train_negative

        return train_negative(self.session, self.corpus(), self.note, force=self.force)

    def nat(self) -> dict[str, Any]:
        """Train the positive adapter and the integration unit."""
        from nsad_cli.training.stages import train_nat

        self._needs("negative", "nsad train-nat")
        return train_nat(self.session, self.corpus(), self.note, force=self.force)

    def nce(self) -> dict[str, Any]:
        """Train the student."""
        from nsad_cli.training.self_generated import own_rationales
        from nsad_cli.training.stages import train_nce

        self._needs("nat", "nsad train-nat")
        corpus = self.corpus()
        return train_nce(
            self.session, lambda: own_rationales(self.session, corpus), corpus, self.note, force=self.force
        )

    def ranker(self) -> dict[str, Any]:
        """Sample the student's own chains on training problems, and train the ranker on them."""
        from nsad_cli.training.self_generated import own_candidates
        from nsad_cli.training.stages import train_ranker

        self._needs("nce", "nsad train-nce")
        corpus = self.corpus()
        return train_ranker(
            self.session, lambda: own_candidates(self.session, corpus), corpus, self.note, force=self.force
        )

    def baseline(self, method: str) -> dict[str, Any]:
        """Train a rival."""
        from nsad_cli.training.self_generated import own_rationales
        from nsad_cli.training.stages import train_baseline

        if method == "self-distillation":
            self._needs("nat", "nsad train-nat")
        corpus = self.corpus()
        return train_baseline(
            self.session, method, lambda: own_rationales(self.session, corpus), corpus, self.note, force=self.force
        )

    # --- evaluation -----------------------------------------------------------------------------------------------

    def evaluate(self, stage: str, models: Sequence[str], samples: int | None = None) -> dict[str, Any]:
        """Measure models on the recipe's benchmarks; before training greedy answers alone, which cost a fifth."""
        settings = self.recipe.evaluation
        samples = settings.samples if samples is None else samples
        if not settings.benchmarks:
            self.note(f"{stage}: the recipe names no benchmarks")
            return {"results": []}
        benchmarks = load_benchmarks(self.run, settings.benchmarks, settings.limit, self.note, self.leaks)
        key = evaluation_key(self.run, stage, models, samples, benchmarks)
        if not self.force and self.run.done(stage, key):
            self.note(f"{stage}: already done with these settings")
            return dict(self.run.stages()[stage]["result"])
        with self.run.stage(stage, key) as result:
            result.update(
                evaluate_models(self.session, stage=stage, models=models, benchmarks=benchmarks, samples=samples)
            )
        return dict(result)

    def _needs(self, stage: str, command: str) -> dict[str, Any]:
        state = self.run.stages().get(stage, {})
        if state.get("state") != "finished":
            raise UsageError(
                f"run `{self.run.name}` has not finished `{stage}`",
                "a later stage needs what it makes",
                f"run `{command} --run {self.run.name}` first",
            )
        return dict(state)


def require_trainable(recipe: Recipe) -> None:
    """Raise NsadError for a student that can answer but not be trained, before anything else is spent."""
    student = recipe.student
    if student.dtype == "float16":
        raise NsadError(
            "no training in float16",
            "small gradients vanish in it without loss scaling",
            "set student.dtype (--dtype) to bfloat16 or float32; float16 can only answer",
        )
    if student.load_in_4bit and SHARDED:
        raise NsadError(
            "a base in 4 bits is not sharded",
            "its packed weights do not survive it",
            "set student.load_in_4bit to false, or launch without FSDP: each process then has the whole base",
        )
