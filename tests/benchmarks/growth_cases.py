"""The cases of tests.benchmarks.growth: what is run at each size, and which costs it has."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from nsad_cli.collection.collect import params_key, unrequested_draws
from nsad_cli.config.schema import StageConfig, TeacherConfig
from nsad_cli.config.validation import validate_recipe
from nsad_cli.grading.checker import Checker
from nsad_cli.grading.verdicts import grade_texts
from nsad_cli.inference.vote_file import read_vote_file, vote_results
from nsad_cli.problems import arithmetic
from nsad_cli.store.rationales import Store
from nsad_cli.teachers import make_teacher
from nsad_cli.types import Draw, Finish, Grade, Verdict
from nsad_cli.utils.processor import default_dtype
from nsad_cli.voting.chain_sets import chain_sets, iter_results, open_store
from nsad_cli.voting.problem_filters import DEFAULT_RULES
from tests.benchmarks.collect import asked

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.models.packing import Example
    from nsad_cli.models.student import Student

Measure = Callable[[int, str], dict[str, float]]
"""Takes a size and a name that no other call has; returns processor seconds by the name of the cost."""

SEQUENCE_TOKENS = 256
STEP_SEQUENCES = 16
NEW_TOKENS = 24
CHAINS = 12
DRAWS_PER_PROBLEM = 8
PROBLEMS_PER_WRITE = 250


@dataclass(frozen=True)
class Case:
    """One way to grow.

    Attributes:
        name: Its name on the command line.
        unit: What a size counts.
        sizes: The default sizes, ascending.
        long_sizes: Greater sizes, which take long.
        prepared: A context that loads what all sizes need, and yields the function to measure.
        rounds: The maximum number of rounds.
    """

    name: str
    unit: str
    sizes: tuple[int, ...]
    long_sizes: tuple[int, ...]
    prepared: Callable[[Path], AbstractContextManager[Measure]]
    rounds: int = 3


def processor_seconds() -> float:
    """The processor time so far of this process, the processes it has started, and theirs."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + ended.ru_utime + ended.ru_stime
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


class Stopwatch:
    """Processor time of the parts of a measurement, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time that passes inside."""
        started = processor_seconds()
        yield
        self.seconds[name] = processor_seconds() - started


# --- models -----------------------------------------------------------------------------------------------------------


def _student() -> Student:
    """SmolLM2 in the dtype of new runs; on one thread, since idle threads that wait for others use processor time."""
    import torch

    from nsad_cli.models.student import load_student

    torch.set_num_threads(1)
    return load_student("smollm2", device="cpu", dtype=default_dtype("cpu"))


def _examples(tokens: int) -> list[Example]:
    """Sequences of SEQUENCE_TOKENS random token ids, a quarter of each a prompt."""
    from nsad_cli.models.packing import Example

    chance, prompt = random.Random(tokens), SEQUENCE_TOKENS // 4
    ids = [tuple(chance.choices(range(1000, 40000), k=SEQUENCE_TOKENS)) for _ in range(tokens // SEQUENCE_TOKENS)]
    return [Example(sequence[:prompt], sequence[prompt:]) for sequence in ids]


@contextlib.contextmanager
def training(folder: Path) -> Iterator[Measure]:
    """NAT on SmolLM2 by the trainer itself: packing, steps of 16 sequences, the optimizer, checkpoints and events."""
    from nsad_cli.runs.run import Run
    from nsad_cli.training.likelihood import CompletionObjective
    from nsad_cli.training.trainer import forget_checkpoints, train
    from tests.benchmarks.reference import trio

    student = _student()
    objective = CompletionObjective(trio(student.model, ("negative", "nat")), "nat")
    settings = StageConfig(epochs=1, batch_size=STEP_SEQUENCES, warmup_steps=0, checks=1)
    os.environ["NSAD_HOME"] = str(folder)
    run = Run.create("growth", validate_recipe({}, "benchmark"))

    def measure(tokens: int, _name: str) -> dict[str, float]:
        examples, watch = _examples(tokens), Stopwatch()
        with watch.part("training"):
            train(objective, examples, [], stage="nat", run=run, settings=settings, seed=0, on_cpu=True, bf16=False)
        forget_checkpoints(run, "nat")
        return watch.seconds

    yield measure


@contextlib.contextmanager
def sampling(_folder: Path) -> Iterator[Measure]:
    """Chains of as many problems, all rows of one batch, from the untrained SmolLM2."""
    from nsad_cli.generation.hf import HFSampler
    from nsad_cli.generation.sampler import Sampling, Task

    student = _student()

    def measure(rows: int, name: str) -> dict[str, float]:
        tasks = [Task(problem.id, problem.question, (0,)) for problem in arithmetic.problems("test", rows)]
        sampler, watch = HFSampler(student, None, None, rows), Stopwatch()
        with watch.part("sampling"):
            chains = list(sampler.sample(tasks, Sampling(max_new_tokens=NEW_TOKENS), seed=name))
        assert len(chains) == rows
        return watch.seconds

    yield measure


# --- grading and votes ------------------------------------------------------------------------------------------------


def _pair(chance: random.Random, number: int) -> tuple[str, str]:
    """An answer and a gold answer; one pair in 250 needs math-verify."""
    gold, wrong = number, number + chance.choice((0, 0, 1))
    if number % 250 == 0:
        return rf"\log x + {wrong}", rf"{gold} + \log x"
    forms = (
        (str(wrong), str(gold)),
        (rf"\frac{{{2 * wrong}}}{{6}}", rf"\frac{{{gold}}}{{3}}"),
        (f"{wrong}.50", rf"\${gold}.5"),
        (f"x^2 + {wrong}x + 1", f"1 + {gold}x + x^2"),
        (f"({wrong}, {wrong + 2})", f"({gold}, {gold + 2})"),
        (f"{wrong} km", f"{gold}000 m"),
        (rf"{wrong}\sqrt{{2}}", rf"\sqrt{{2}} \cdot {gold}"),
    )
    return forms[number % len(forms)]


@contextlib.contextmanager
def grading(_folder: Path) -> Iterator[Measure]:
    """Verdicts on texts with as many distinct pairs of an answer and a gold answer, math-verify's processes running."""

    def measure(pairs: int, name: str) -> dict[str, float]:
        chance, watch = random.Random(name), Stopwatch()
        items = []
        for number in range(pairs):
            answer, gold = _pair(chance, number)
            text = f"We take the first number and the second one. {'So it goes on. ' * 20}The answer is ${answer}$."
            items.append((text, gold, Finish.STOP))
        with Checker() as checker:
            checker.equivalent([(rf"\sin x + {n}", rf"{n} + \sin x") for n in range(50)])
            with watch.part("grading"):
                grades = grade_texts(items, checker)
        assert len(grades) == pairs
        return watch.seconds

    yield measure


@contextlib.contextmanager
def votes(folder: Path) -> Iterator[Measure]:
    """Votes of 12 chains a problem: by all rules from a run's chain store, and by `asc` from a file, graded anew."""
    from tests.benchmarks.dashboard_votes import build

    def measure(problems: int, name: str) -> dict[str, float]:
        run, watch = folder / f"{problems}-{name}", Stopwatch()
        build(run, problems, CHAINS, tokens=20)
        with open_store(run / "chains.sqlite") as store, watch.part("votes_store"):
            chosen = chain_sets(store)[-1]
            found = [key for part in iter_results(store, chosen, chosen.ranker, DEFAULT_RULES) for key in part]
        assert len(found) == problems
        path = run / "votes.jsonl"
        _write_votes(path, problems)
        with watch.part("votes_file"), Checker() as checker:
            results = vote_results(list(read_vote_file(path)), "asc", checker)
        assert len(results) == problems
        return watch.seconds

    yield measure


def _write_votes(path: Path, problems: int) -> None:
    chance = random.Random(problems)
    with path.open("w", encoding="utf-8") as file:
        for number in range(problems):
            gold = chance.randrange(1000)
            answers = [gold + chance.choice((0, 0, 0, 1, 2, 10)) for _ in range(CHAINS)]
            chains = [{"text": f"The answer is {answer}.", "weight": chance.random()} for answer in answers]
            file.write(json.dumps({"id": f"p{number}", "gold": str(gold), "chains": chains}) + "\n")


# --- the store --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def store(folder: Path) -> Iterator[Measure]:
    """A store of rationales of 120 words, eight a problem: written, opened to resume, read for grading, and as D+."""
    teacher = make_teacher("m", TeacherConfig(base_url=["http://127.0.0.1:1/v1"]))
    key, text = params_key(teacher), "word " * 120

    def measure(rationales: int, name: str) -> dict[str, float]:
        problems, watch = asked(rationales // DRAWS_PER_PROBLEM), Stopwatch()
        path = folder / f"{rationales}-{name}.sqlite"
        with Store(path) as opened, watch.part("store_write"):
            opened.add_problems(problems)
            for start in range(0, len(problems), PROBLEMS_PER_WRITE):
                part = problems[start : start + PROBLEMS_PER_WRITE]
                draws = [Draw(p.id, teacher.name, n, text) for p in part for n in range(DRAWS_PER_PROBLEM)]
                opened.add_draws(draws, key)
        with watch.part("store_resume"), Store(path) as opened:
            assert opened.counts()["draws"] == rationales
            opened.add_problems(problems)
            wanted = {problem.id: problem for problem in problems}
            assert unrequested_draws(opened, wanted, DRAWS_PER_PROBLEM + 1, teacher)[0] == rationales
        with watch.part("store_verdicts"), Store(path) as opened:
            correct = Grade(Verdict.CORRECT, "1", "")
            opened.verdicts.record(((item.key, correct) for item in opened.verdicts.ungraded("none")), "none")
            assert len(opened.rationales(Verdict.CORRECT, teacher=teacher.name, params=key)) == rationales
        path.unlink()
        return watch.seconds

    yield measure


# --- the dashboard ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def dashboard(folder: Path) -> Iterator[Measure]:
    """The dashboard on a folder of as many runs: until the first screen names a run, and until every run is read."""
    from tests.benchmarks.dashboard import make_run, started

    def measure(runs: int, _name: str) -> dict[str, float]:
        home, watch = folder / str(runs), Stopwatch()
        if not home.exists():
            for number in range(runs):
                make_run(home, f"run-{number:05}", 20)
        _, first_screen = started(home, (120, 36))
        with watch.part("dashboard_all_runs"):
            asyncio.run(_all_runs_read(home, runs))
        return {"dashboard_start": first_screen, **watch.seconds}

    yield measure


async def _all_runs_read(home: Path, runs: int) -> None:
    from nsad_cli.dashboard.app import Dashboard
    from nsad_cli.dashboard.context import DashboardContext
    from nsad_cli.dashboard.screens.runs import RunsView

    async with Dashboard(DashboardContext(home)).run_test(size=(120, 36)) as pilot:
        view: Any = pilot.app.screen
        while not isinstance(view, RunsView) or len(view._all) < runs or view._runs.pending:
            await asyncio.sleep(0.005)
            view = pilot.app.screen


CASES = (
    Case("training", "tokens", (1024, 4096, 16384), (32768, 65536), training, rounds=1),
    Case("sampling", "rows", (1, 4, 16, 64, 256), (), sampling, rounds=2),
    Case("grading", "pairs", (1000, 4000, 16000), (32000, 100_000), grading, rounds=2),
    Case("votes", "problems", (10, 100, 1000, 10_000), (), votes, rounds=1),
    Case("store", "rationales", (10_000, 32_000, 100_000, 320_000), (1_000_000,), store, rounds=2),
    Case("dashboard", "runs", (10, 100, 1000, 10_000), (), dashboard, rounds=2),
)
