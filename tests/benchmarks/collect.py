"""Requests a second against a server process that answers after one second, as a share of the ideal.

    python -m tests.benchmarks.collect [--json] [--seconds 10] [--rounds 1]

At concurrency c the ideal is c requests a second. Each case collects c × seconds draws of as many problems into a store
on disk, from the first request to the last commit; the clients' start is not counted. A bare client (aiohttp, which
sends, parses and forgets) is measured in turn against the same server, for comparison: what it does not reach either
is lost to the server and to other programs on this machine. The median of the rounds counts. Also: how long a store of
a million rationales takes to open, count, and say what is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from nsad_cli.collection.collect import collect, params_key, unrequested_draws
from nsad_cli.config.schema import TeacherConfig
from nsad_cli.store.rationales import Store
from nsad_cli.teachers import make_teacher
from nsad_cli.types import Draw, Problem, problem_id
from tests.benchmarks.report import at_least, at_most, finish

GOALS = {16: 0.95, 64: 0.95, 256: 0.85}
LATENCY = 1.0
MILLION = 1_000_000


def asked(count: int) -> list[Problem]:
    return [Problem(problem_id(q), q, "1", "test") for q in (f"question number {i}" for i in range(count))]


def rate(url: str, folder: Path, concurrency: int, seconds: int) -> float:
    """Requests a second."""
    settings = TeacherConfig(base_url=[url], prompt="{question}", concurrency=concurrency)
    teacher, count = make_teacher("m", settings), concurrency * seconds
    with Store(folder / f"{concurrency}.sqlite") as store:
        collect(asked(1), teacher, 1, store)  # imports and the first connection
        started = time.perf_counter()
        summary = collect(asked(count + 1), teacher, 1, store)
        assert summary.new == count, summary
        return count / (time.perf_counter() - started)


async def bare_rate(url: str, concurrency: int, seconds: int) -> float:
    """Requests a second of a client that stores nothing."""
    numbers, body = iter(range(concurrency * seconds)), {"model": "m", "temperature": 0.7, "max_tokens": 1024}

    async def work(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            messages = [{"role": "user", "content": f"question number {number}"}]
            async with session.post(f"{url}/chat/completions", json={**body, "messages": messages}) as reply:
                json.loads(await reply.read())["choices"][0]["message"]["content"]

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        started = time.perf_counter()
        await asyncio.gather(*(work(session) for _ in range(concurrency)))
        return concurrency * seconds / (time.perf_counter() - started)


def million(folder: Path) -> float:
    """Seconds to open a store of a million rationales, count them, and resume: what lacks of a ninth a problem."""
    problems, draws = asked(MILLION // 8), 8
    teacher = make_teacher("m", TeacherConfig(base_url=["http://127.0.0.1:1/v1"]))
    key = params_key(teacher)
    with Store(folder / "million.sqlite") as store:
        store.add_problems(problems)
        for start in range(0, len(problems), 2500):
            part = problems[start : start + 2500]
            store.add_draws([Draw(p.id, teacher.name, n, "word " * 120) for p in part for n in range(draws)], key)
    started = time.perf_counter()
    with Store(folder / "million.sqlite") as store:
        assert store.counts()["draws"] == MILLION
        store.add_problems(problems)
        assert unrequested_draws(store, {p.id: p for p in problems}, draws + 1, teacher)[0] == MILLION
        return time.perf_counter() - started


def measure(seconds: int, rounds: int) -> dict[str, Any]:
    """Every concurrency in turn against one server process."""
    ours: dict[int, list[float]] = {concurrency: [] for concurrency in GOALS}
    bare: dict[int, list[float]] = {concurrency: [] for concurrency in GOALS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port = folder / "port"
        command = [sys.executable, "-m", "tests.helpers.faulty_server", str(port), str(folder / "log")]
        server = subprocess.Popen([*command, "--latency", str(LATENCY)])
        try:
            while not port.exists():
                time.sleep(0.02)
            url = f"http://127.0.0.1:{port.read_text()}/v1"
            for number in range(rounds):
                (part := folder / str(number)).mkdir()
                for c in GOALS:
                    ours[c].append(rate(url, part, c, seconds) * LATENCY / c)
                    bare[c].append(asyncio.run(bare_rate(url, c, seconds)) * LATENCY / c)
        finally:
            server.kill()
            server.wait()
        opening = million(folder)
    figures = {f"share_of_ideal_{c}": at_least(statistics.median(ours[c]), goal) for c, goal in GOALS.items()}
    figures |= {f"bare_client_{c}": at_least(statistics.median(bare[c]), None) for c in GOALS}
    figures["seconds_for_a_million_rationales"] = at_most(opening, 2)
    spread = {c: [round(value, 3) for value in sorted(values)] for c, values in ours.items()}
    return {"figures": figures, "conditions": {"latency": LATENCY, "seconds": seconds, "shares": spread}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.collect")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--seconds", type=int, default=10, help="how long each case takes at the ideal rate")
    parser.add_argument("--rounds", type=int, default=1, help="rounds whose median counts")
    arguments = parser.parse_args()
    finish(measure(arguments.seconds, arguments.rounds), arguments.json)
