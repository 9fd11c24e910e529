"""`nsad serve` under load, against the bare engine with the same number of chains.

    python -m tests.benchmarks.serving --run NAME [--json] [--requests 200] [--samples 4]

The server is a process with the run's model; clients are threads that each send the next question when the last one is
answered. All send the same seed, so that a question's chains are the same at every concurrency, up to the rounding of
batches: `same_answers` is the share of questions with the same answer as one at a time. A reply without all of its
chains counts as lost. The bare engine samples all chains of all questions in one call, in this process, before and
after the server runs. With one request at a time a batch has only that request's chains: this share has no goal.
"""

from __future__ import annotations

import argparse
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai

from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.inference.session import Session
from nsad_cli.problems import arithmetic
from nsad_cli.runs.models import best_model
from nsad_cli.runs.run import Run, runs_home
from tests.benchmarks.report import at_least, at_most, finish
from tests.helpers.served_run import serving

CONCURRENCY = (1, 16, 64)


def bare(run: Run, questions: list[str], samples: int) -> float:
    """Tokens a second of the engine alone."""
    session = Session(run)
    sampler = session.sampler(best_model(run))
    tasks = [Task(f"{number}", question, tuple(range(samples))) for number, question in enumerate(questions)]
    started = time.perf_counter()
    chains = sampler.sample(tasks, Sampling.of(run.recipe.sampling), seed="0")
    tokens = sum(len(chain.logprobs) for chain in chains)
    return tokens / (time.perf_counter() - started)


def load(url: str, run: str, questions: list[str], samples: int, concurrency: int) -> dict[str, Any]:
    """Answer all questions with a number of requests at the same time."""
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=3600)
    times, replies = list[float](), dict[str, Any]()

    def ask(question: str) -> None:
        messages: Any = [{"role": "user", "content": question}]
        started = time.perf_counter()
        reply: Any = client.chat.completions.create(
            model=run, messages=messages, seed=0, extra_body={"nsad": {"samples": samples}}
        )
        times.append(time.perf_counter() - started)
        replies[question] = reply

    started = time.perf_counter()
    with ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(ask, questions))
    seconds = time.perf_counter() - started
    tokens = sum(reply.usage.completion_tokens for reply in replies.values())
    whole = [reply for reply in replies.values() if len(reply.nsad["chains"]) == samples]
    return {
        "tokens_per_second": tokens / seconds,
        "requests_per_second": len(replies) / seconds,
        "median_seconds": statistics.median(times),
        "lost": len(questions) - len(whole),
        "answers": {question: reply.nsad["answer"] for question, reply in replies.items()},
    }


def measure(name: str, count: int, samples: int) -> dict[str, Any]:
    """Run the engine alone, the server at each concurrency, and the engine alone again."""
    run = Run.open(name)
    questions = [problem.question for problem in arithmetic.problems("confirm", count)]
    before = bare(run, questions, samples)
    with serving(runs_home(), "--run", name) as served:
        loads = {number: load(served.url, name, questions, samples, number) for number in CONCURRENCY}
    after = bare(run, questions, samples)
    alone = (before + after) / 2
    figures: dict[str, Any] = {}
    for number, found in loads.items():
        share = found["tokens_per_second"] / alone
        figures[f"throughput_{number}"] = at_least(share, 0.9 if number > 1 else None)
        figures[f"median_seconds_{number}"] = at_most(found["median_seconds"], None)
        figures[f"lost_{number}"] = at_most(found["lost"], 0)
    first = loads[CONCURRENCY[0]]["answers"]
    same = [
        sum(found["answers"].get(question) == answer for question, answer in first.items()) / count
        for number, found in loads.items()
        if number != CONCURRENCY[0]
    ]
    figures["same_answers"] = at_least(min(same), None)
    conditions = {"run": name, "requests": count, "samples": samples, "bare_tokens_per_second": [before, after]}
    return {"figures": figures, "conditions": conditions}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.serving")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--run", required=True, help="a run with a student, such as `demo`")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--samples", type=int, default=4)
    arguments = parser.parse_args()
    finish(measure(arguments.run, arguments.requests, arguments.samples), arguments.json)
