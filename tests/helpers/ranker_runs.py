"""Runs with a ranker, and chains for it of which half are right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nsad_cli.generation.sampler import Sampling
from nsad_cli.inference.sampling import sampling_key
from nsad_cli.inference.session import Session
from nsad_cli.problems import arithmetic
from nsad_cli.store.chains import ChainStore
from nsad_cli.types import Chain
from tests.helpers.tiny_recipes import STAGE, recipe

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.config.schema import Recipe
    from nsad_cli.runs.run import Run

SAMPLES = 8


def ranking(model: Path, encoders: dict[str, Path], kind: str, **more: Any) -> Recipe:
    """The whole run that takes seconds, with a ranker of a kind."""
    chosen = {"kind": "encoder", "model": str(encoders[kind])} if kind in encoders else {"kind": kind}
    settings = {**STAGE, "learning_rate": 3e-3, "problems": 20, "samples": SAMPLES, "min_pairs": 3, "max_examples": 40}
    settings["teacher_rationales"] = True
    training = {**recipe(model).training.model_dump(), "ranker": {**settings, **chosen, **more}}
    return recipe(model, training=training)


def answer_half_rightly(run: Run) -> None:
    """Chains for the ranker in the run's store: a random student is never right."""
    key = {"model": "nce", "model_key": Session(run).model_key("nce")}
    with ChainStore(run.chains_path) as store:
        for problem in arithmetic.problems("train", 20):
            texts = [
                f"{problem.answer} more. The answer is {problem.answer}."
                if i % 2
                else f"{i} loses. The answer is -{i}."
                for i in range(SAMPLES)
            ]
            chains = [Chain(problem.id, i, text, None, logprobs=(-1.0,)) for i, text in enumerate(texts)]
            store.put(problem, chains, **key, sampling=sampling_key(Sampling(0.7, 1.0, 8), 0))
