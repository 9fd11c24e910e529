"""A recipe's stages in order; each knows whether it is done, so running again resumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nsad_cli.answers.checker import Checker
from nsad_cli.benchmarks import load_problems
from nsad_cli.collect import collect
from nsad_cli.errors import NsadError, UsageError
from nsad_cli.grading import GRADER_VERSION, grade
from nsad_cli.runs import Run, content_key
from nsad_cli.store import Store
from nsad_cli.teachers import Teacher, make_teacher
from nsad_cli.types import Problem, Rationale, Verdict

if TYPE_CHECKING:
    from nsad_cli.session import Session
    from nsad_cli.training.stages import Corpus

Note = Callable[[str], None]
TRAIN_SET = "train"
"""The label of the ranker's own training chains in the chain store."""


def run_stages(run: Run, stages: Sequence[str], *, note: Note, force: bool = False) -> dict[str, dict[str, Any]]:
    """Run stages of a run's recipe in the order given; a finished one with unchanged settings is passed over.

    Returns each stage's result. Raises NsadError where a stage cannot go on; what it had done is kept.
    """
    with run.lock():
        pipeline = Pipeline(run, note, force)
        return {stage: pipeline.steps[stage]() for stage in stages}


class Pipeline:
    """The stages of one run, with what they share in memory."""

    def __init__(self, run: Run, note: Note, force: bool = False) -> None:
        self.run, self.note, self.force = run, note, force
        self.recipe = run.recipe
        self._session: Session | None = None
        self.steps: Mapping[str, Callable[[], dict[str, Any]]] = {
            "collect": self.collect,
            "grade": self.grade,
            "eval-before": lambda: self.evaluate("eval-before", ["base"]),
            "negative": self.negative,
            "nat": self.nat,
            "nce": self.nce,
            "ranker": self.ranker,
            "eval": lambda: self.evaluate("eval", [name for name in self.recipe.evaluation.models if name != "base"]),
        }

    @property
    def session(self) -> Session:
        """The models; importing and loading them takes seconds, so only a stage that needs them does."""
        if self._session is None:
            self.note("loading the student …")
            from nsad_cli.session import Session

            self._session = Session(self.run)
        return self._session

    # --- rationales -----------------------------------------------------------------------------------------------

    def collect(self) -> dict[str, Any]:
        """Draw rationales from the teacher into the store."""
        key = content_key("collect", self.recipe.problems, self.recipe.teacher)
        if not self.force and self.run.done("collect", key):
            self.note("collect: already done with these settings")
            return dict(self.run.stages()["collect"]["result"])
        with self.run.stage("collect", key) as result:
            teacher = make_teacher(self.recipe.teacher.spec, self.recipe.teacher, on_corrupt=self.note)
            problems = self._problems(teacher)
            with Store(self.run.store_path) as store:
                summary = collect(
                    problems,
                    teacher,
                    self.recipe.teacher.draws,
                    store,
                    lambda done, total, tokens: self.run.emit("collect", done, total, tokens=tokens),
                )
            for failure in summary.failures[:5]:
                self.note(f"collect: {failure}")
            if summary.failures and not summary.stored:
                raise NsadError(
                    "collect: the teacher answered nothing",
                    str(summary.failures[0]),
                    "mend that and run the same command again: draws that arrived are kept",
                )
            result.update(
                teacher=teacher.name,
                problems=len(problems),
                problem_ids=[item.id for item in problems],
                draws=summary.stored,
                new=summary.new,
                failed=len(summary.failures),
            )
        return dict(result)

    def _problems(self, teacher: Teacher) -> list[Problem]:
        limit = self.recipe.problems.limit
        own = teacher.problems()
        if own is not None and self.recipe.problems.train is None:
            return own[:limit]
        if self.recipe.problems.train is None:
            raise UsageError(
                "no training problems are named",
                "problems.train is empty and this teacher brings none",
                "give --problems NAME[:SPLIT][@PATH], or problems.train in the recipe",
            )
        return load_problems(self.recipe.problems.train, limit=limit, on_corrupt=self.note)

    def grade(self) -> dict[str, Any]:
        """Give every draw of the run a verdict."""
        collected = self._needs("collect", "nsad collect")
        key = content_key("grade", collected["key"], collected["ended"], GRADER_VERSION)
        if not self.force and self.run.done("grade", key):
            self.note("grade: already done with these settings")
            return dict(self.run.stages()["grade"]["result"])
        with self.run.stage("grade", key) as result, Store(self.run.store_path) as store, Checker() as checker:
            ledger = grade(store, checker, lambda done, total: self.run.emit("grade", done, total))
            result.update(ledger=ledger.as_dict())
        return dict(result)

    def corpus(self) -> Corpus:
        """D+ and D− of this run's problems and teacher."""
        from nsad_cli.training.stages import make_corpus

        self._needs("grade", "nsad grade")
        collected = self._needs("collect", "nsad collect")["result"]
        mine = set(collected["problem_ids"])
        with Store(self.run.store_path) as store:
            sides = [
                self._mine(store, verdict, mine, collected["teacher"]) for verdict in (Verdict.CORRECT, Verdict.WRONG)
            ]
        return make_corpus(*sides, share=self.recipe.training.held_out, seed=self.recipe.seed)

    def _mine(self, store: Store, verdict: Verdict, mine: set[str], teacher: str) -> list[Rationale]:
        return [
            item
            for item in store.rationales(verdict, teacher=teacher)
            if item.problem.id in mine and item.index < self.recipe.teacher.draws
        ]

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
        from nsad_cli.training.stages import train_nce

        self._needs("nat", "nsad train-nat")
        return train_nce(self.session, self.corpus(), self.note, force=self.force)

    def ranker(self) -> dict[str, Any]:
        """Sample the student's own chains on training problems, and train the ranker on them."""
        from nsad_cli.training.own_chains import own_candidates
        from nsad_cli.training.stages import train_ranker

        self._needs("nce", "nsad train-nce")
        corpus = self.corpus()
        own = own_candidates(self.session, corpus, self.run)
        return train_ranker(self.session, own, corpus, self.note, force=self.force)

    # --- evaluation -----------------------------------------------------------------------------------------------

    def evaluate(self, stage: str, models: Sequence[str]) -> dict[str, Any]:
        """Measure models on the recipe's benchmarks."""
        settings = self.recipe.evaluation
        if not settings.benchmarks:
            self.note(f"{stage}: the recipe names no benchmarks")
            return {"results": []}
        trained = {name: self.run.stages().get(name, {}).get("key") for name in (*models, "ranker") if name != "base"}
        key = content_key(stage, settings, self.recipe.sampling, self.recipe.student, self.recipe.seed, trained)
        if not self.force and self.run.done(stage, key):
            self.note(f"{stage}: already done with these settings")
            return dict(self.run.stages()[stage]["result"])
        with self.run.stage(stage, key) as result:
            result["results"] = evaluate_models(
                self.session,
                self.run,
                stage=stage,
                models=models,
                specs=settings.benchmarks,
                limit=settings.limit,
                samples=settings.samples,
                note=self.note,
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


def evaluate_models(
    session: Session,
    run: Run,
    *,
    stage: str,
    models: Sequence[str],
    specs: Sequence[str],
    limit: int | None,
    samples: int,
    note: Note,
) -> list[dict[str, Any]]:
    """Measure models on benchmarks without the problems that the run was trained on; rows as in `nsad eval --json`."""
    raise NotImplementedError
