"""The Ray engine: processor time of the driver, efficiency by the number of actors, and the cost of a killed actor.

    python -m tests.benchmarks.ray_sampling [--json] [--problems 32]

The untrained SmolLM2 samples 8 chains for each problem of the built-in world, at most 48 tokens each: in this process,
then by 1, 2 and 4 actors, then by 2 actors of which one is killed after half of the chains. Each has one thread. Models
are loaded before time is measured. Efficiency is the rate per actor, relative to one actor: on a machine with fewer
cores than actors it cannot reach 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.config.validation import validate_recipe
from nsad_cli.problems import arithmetic
from nsad_cli.runs.run import Run
from tests.benchmarks.report import at_least, at_most, exit_with_usage_error, finish

if TYPE_CHECKING:
    from nsad_cli.generation.ray_sampler import RaySampler
    from nsad_cli.generation.sampler import Sampler, Task

SAMPLES = 8
ACTORS = (1, 2, 4)
SETTINGS = {"student": {"model": "smollm2", "device": "cpu"}, "sampling": {"max_new_tokens": 48}}


class Timed:
    """The chains of a sampler, with the seconds of the clock and of this process."""

    def __init__(self, run: Run, sampler: Sampler, tasks: list[Task], kill: bool = False) -> None:
        from nsad_cli.generation.sampler import Sampling

        started, own = time.perf_counter(), time.process_time()
        self.texts: dict[tuple[str, int], str] = {}
        for chain in sampler.sample(tasks, Sampling.of(run.recipe.sampling), seed="benchmark"):
            self.texts[chain.problem_id, chain.index] = chain.text
            if kill and 2 * len(self.texts) >= SAMPLES * len(tasks):
                kill_actor(sampler)  # type: ignore[arg-type]
                kill = False
        self.seconds, self.own = time.perf_counter() - started, time.process_time() - own

    @property
    def rate(self) -> float:
        """Chains per second."""
        return len(self.texts) / self.seconds


def kill_actor(sampler: RaySampler) -> None:
    """Kill an actor that is sampling."""
    import ray

    assert sampler._pool
    ray.kill(next(actor.handle for actor in sampler._pool._actors if actor.missing))


def by_actors(run: Run, tasks: list[Task], actors: int, kill: bool = False) -> Timed:
    """Sample on a local cluster with actors of one core each."""
    import ray

    from nsad_cli.generation.ray_cluster import RayResources
    from nsad_cli.generation.ray_sampler import RaySampler
    from nsad_cli.inference.ray_models import PackedModel, pack_model
    from nsad_cli.inference.session import Session

    ray.init(address="local", num_cpus=actors, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    build, packed = PackedModel(run, run.recipe, "base", "hf", Session), pack_model(run, run.recipe, "base")
    sampler = RaySampler(Session(run).prompter("base"), build, packed, resources=RayResources(cpus=1))
    pool = sampler._started()
    pool.grow()
    while not all(actor.loaded for actor in pool._actors):
        pool.wait()
    try:
        return Timed(run, sampler, tasks, kill)
    finally:
        sampler.close()
        ray.shutdown()


def measure(problems: int) -> dict[str, Any]:
    """Sample in this process, by actors, and by actors of which one is killed."""
    import torch

    from nsad_cli.generation.sampler import Task
    from nsad_cli.inference.session import Session

    torch.set_num_threads(1)
    run = Run.create("ray", validate_recipe(SETTINGS, "benchmark"))
    found = arithmetic.problems("confirm", problems)
    tasks = [Task(problem.id, problem.question, tuple(range(SAMPLES))) for problem in found]
    alone = Timed(run, Session(run).sampler("base", "hf"), tasks)
    timed = {actors: by_actors(run, tasks, actors) for actors in ACTORS}
    killed = by_actors(run, tasks, 2, kill=True)
    same = [text == killed.texts.get(key) for key, text in alone.texts.items()]
    figures = {
        "driver_cpu_seconds_per_1000_chains": at_most(1000 * timed[2].own / len(timed[2].texts), None),
        "one_actor_to_one_process": at_least(timed[1].rate / alone.rate, None),
        **{f"efficiency_{n}": at_least(timed[n].rate / timed[1].rate / n, None) for n in ACTORS[1:]},
        "kill_extra_seconds": at_most(killed.seconds - timed[2].seconds, None),
        "kill_to_none_seconds": at_most(killed.seconds / timed[2].seconds, None),
        "kill_lost_chains": at_most(len(alone.texts) - len(killed.texts), 0),
        "same_texts_as_one_process": at_least(sum(same) / len(same), None),
    }
    seconds = {"alone": alone.seconds, **{f"actors_{n}": timed[n].seconds for n in ACTORS}, "killed": killed.seconds}
    conditions = {
        "chains": len(alone.texts),
        "dtype": run.recipe.student.dtype,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }
    return {"figures": figures, "conditions": conditions}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ray_sampling")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--problems", type=int, default=32, help="problems, each with 8 chains")
    arguments = parser.parse_args()
    if importlib.util.find_spec("ray") is None:
        exit_with_usage_error("the engine ray needs Ray", "the package ray is not installed", "pip install 'nsad[ray]'")
    with tempfile.TemporaryDirectory() as home:
        os.environ["NSAD_HOME"] = str(Path(home) / "runs")
        finish(measure(arguments.problems), arguments.json)
