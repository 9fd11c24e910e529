"""Runs whose models have stored answers, made by hand: what each model answers to each problem is given."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy
from safetensors.numpy import save_file

from nsad_cli.config.engine_spec import EngineSpec
from nsad_cli.config.validation import validate_recipe
from nsad_cli.generation.sampler import Sampling
from nsad_cli.inference.sampling import greedy, sampling_key
from nsad_cli.problems import load_problems
from nsad_cli.rankers.metadata import CALIBRATION, HEAD_FILE, METADATA_KEY, ranker_name
from nsad_cli.runs.base_model import assume_base
from nsad_cli.runs.models import model_key
from nsad_cli.runs.run import Run
from nsad_cli.store.chains import ChainStore
from nsad_cli.types import Chain, Finish

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from nsad_cli.types import Problem, Score

WRONG = "77"
SUBJECTS = ("Algebra", "Geometry")


def make_benchmark(folder: Path, n: int = 6, name: str = "made.jsonl") -> str:
    """Write n problems, of which every third one is of Geometry and the others of Algebra; their spec."""
    path = folder / name
    rows = [
        {
            "question": f"What is {i} + 1? {name}",
            "answer": i + 1,
            "subject": SUBJECTS[i % 3 == 2],
            "level": f"Level {1 + i % 2}",
        }
        for i in range(n)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"jsonl@{path}"


def make_run(
    name: str, specs: Sequence[str], trained: Mapping[str, Mapping[str, int]], *, seed: int = 0, **changes: Any
) -> Run:
    """A run with these trained stages, each with its `tokens`, `steps` and `trained_parameters`."""
    values: dict[str, Any] = {"student": {"model": "tiny"}, "seed": seed, "evaluation": {"benchmarks": list(specs)}}
    run = Run.create(name, validate_recipe({**values, **changes}, "test"))
    assume_base(run, "tiny")
    for stage, result in trained.items():
        with run.stage(stage, "key") as record:
            record |= {"weights": f"{name}-{stage}", **result}
    return run


def answer(run: Run, model: str, spec: str, greedy_right: str, votes: str = "") -> list[Problem]:
    """Store a model's answers to the first problems of a benchmark.

    Args:
        run: The run.
        model: The model.
        spec: The benchmark.
        greedy_right: A character for each problem: + for a right greedy answer, anything else for a wrong one.
        votes: The sampled chains of each problem, in words of + and anything else.
    """
    problems = load_problems(spec)[: len(greedy_right)]
    first, others = (key_of(run, model, sampled=sampled) for sampled in (False, True))
    with ChainStore(run.chains_path) as store:
        for problem, mark in zip(problems, greedy_right, strict=True):
            store.put(problem, [_chain(problem, -1, mark)], **first)
        for problem, marks in zip(problems, votes.split(), strict=False):
            chains = [_chain(problem, i, mark) for i, mark in enumerate(marks)]
            store.put(problem, chains, **others)
    return problems


def _chain(problem: Problem, index: int, mark: str) -> Chain:
    """A chain whose answer is right (+) or wrong; its steps are right (+ and r) or wrong."""
    said = problem.answer if mark == "+" else WRONG
    step = "1 + 1 = 2" if mark in "+r" else "1 + 1 = 3"
    logprob = -0.25 if mark in "+c" else -1.0
    return Chain(problem.id, index, f"{step}. The answer is {said}.", said, Finish.STOP, (1,), (logprob,))


def key_of(run: Run, model: str, *, sampled: bool = True) -> dict[str, str]:
    """The key of a model's chains in the store."""
    sampling = Sampling.of(run.recipe.sampling)
    how = sampling_key(sampling if sampled else greedy(sampling), run.recipe.seed)
    return {"model": model, "model_key": EngineSpec().key(model_key(run, run.recipe, model)), "sampling": how}


def add_ranker(run: Run, *, kind: str = "head", calibration: tuple[float, float] = (1.0, 0.0), **scoring: Any) -> str:
    """Give a run a ranker without weights; the name of its fitted scores."""
    folder = run.adapter_path("ranker")
    folder.mkdir(parents=True)
    tensors = {"bias": numpy.array([0.0]), CALIBRATION: numpy.array(calibration)}
    about = json.dumps({"kind": kind, "reads": "", **scoring})
    save_file(tensors, folder / HEAD_FILE, metadata={METADATA_KEY: about})
    with run.stage("ranker", "key"):
        pass
    return ranker_name(folder)


def score(run: Run, model: str, spec: str, ranker: str, scored: Callable[[Problem, Chain], Score | None]) -> None:
    """Store a ranker's scores of a model's sampled chains."""
    key = key_of(run, model)
    with ChainStore(run.chains_path) as store:
        for problem in load_problems(spec):
            scores = {chain.index: scored(problem, chain) for chain in store.get(problem.id, **key)}
            store.put_scores(problem.id, scores, ranker=ranker, **key)
