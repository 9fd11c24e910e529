"""Collection under faults, kills and fatal errors: what is stored twice, invented or lost.

    python -m tests.benchmarks.collect_faults [--json] [--seconds 240] [--draws 8000] [--kills 10]

A server process answers 20 % of its requests with a fault (429, 500, a hanging or cut connection, malformed JSON, fewer
or empty choices). Collecting processes are killed (SIGKILL) at random moments; between the kills others meet a fatal
error (401, 402, 403, 404 or a used-up quota) from a second server without faults, and must store every reply that it
has sent. The last process collects what is missing. A reply is lost if its server sent it in full and it is not stored;
after a kill those in flight may be, after a fatal error none.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from nsad_cli.store.rationales import Store
from tests.benchmarks.report import at_least, at_most, finish
from tests.helpers.faulty_servers import FaultyServer, collecting, faulty_servers

FAULTS, LATENCY, CONCURRENCY, DRAWS_PER_PROBLEM = 0.2, 0.05, 12, 8
FATAL = ("401", "402", "403", "404", "quota")


def start(url: str, store: Path, problems: int) -> subprocess.Popen[str]:
    """Start a process that collects into the store."""
    return collecting(url, store, problems, DRAWS_PER_PROBLEM, CONCURRENCY, timeout=2, stderr=subprocess.DEVNULL)


def texts(store: Path) -> list[str]:
    """The texts of all stored draws."""
    with Store(store) as opened:
        return [item.draw.text for item in opened.verdicts.ungraded("none")]


def kill_one(server: FaultyServer, store: Path, problems: int, chance: random.Random) -> bool:
    """Kill a collecting process a moment after it has stored something; whether it was still at work."""
    process = start(server.url, store, problems)
    with Store(store) as opened:
        before = opened.counts()["draws"]
        while process.poll() is None and opened.counts()["draws"] == before:
            time.sleep(0.01)
    time.sleep(chance.uniform(0, 0.5))
    killed = process.poll() is None
    process.kill()
    process.communicate()
    return killed


def meet_fatal_error(kind: str, folder: Path, store: Path, problems: int) -> int:
    """Collect from a server that refuses a request for good; how many of its replies are not stored."""
    with faulty_servers(folder, ("--latency", "0.3", "--fatal", kind, "--at", "20")) as (server,):
        start(server.url, store, problems).communicate()
        return len(set(server.paid()) - set(texts(store)))


def measure(draws: int, seconds: float, turns: int) -> dict[str, Any]:
    """Kill and refuse by turns, then collect the rest within the time that is left."""
    chance, problems, began = random.Random(0), draws // DRAWS_PER_PROBLEM, time.monotonic()
    kills, lost_at_fatal, fatal = 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder, store = Path(name), Path(name) / "store.sqlite"
        Store(store).__exit__(None, None, None)
        with faulty_servers(folder, ("--faults", str(FAULTS), "--latency", str(LATENCY))) as (server,):
            for turn in range(turns):
                kills += kill_one(server, store, problems, chance)
                if turn < len(FATAL):
                    before = set(texts(store))
                    lost_at_fatal += meet_fatal_error(FATAL[turn], folder / FATAL[turn], store, problems)
                    fatal += len(set(texts(store)) - before)
            last = start(server.url, store, problems)
            try:
                last.communicate(timeout=max(1.0, seconds - (time.monotonic() - began)))
            except subprocess.TimeoutExpired:
                last.terminate()  # stores what is in flight
                last.communicate()
            stored, paid = texts(store), server.paid()
        with Store(store) as opened:
            keys = opened._db.execute("SELECT COUNT(DISTINCT problem_id || ':' || number) FROM draws").fetchone()[0]
        known = {text for log in folder.glob("**/log*") for text in FaultyServer("", log).paid()}
    full = [text for text in stored if text]
    lost = len({text for text in paid if text} - set(full))
    figures = {
        "draws": at_least(len(stored), None),
        "duplicates": at_most(len(stored) - keys + len(full) - len(set(full)), 0),
        "invented": at_most(len(set(full) - known), 0),
        "lost_after_fatal_errors": at_most(lost_at_fatal, 0),
        "lost_at_kills": at_most(lost, kills * CONCURRENCY * DRAWS_PER_PROBLEM),
        "draws_with_fatal_errors": at_least(fatal, 1),
        "kills": at_least(kills, 5),
        "seconds": at_most(time.monotonic() - began, 600),
    }
    conditions = {"faults": FAULTS, "latency": LATENCY, "concurrency": CONCURRENCY, "draws_wanted": draws}
    return {"figures": figures, "conditions": conditions | {"fatal_errors": list(FATAL)}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.collect_faults")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--draws", type=int, default=8000, help="draws to collect, if the time is enough")
    parser.add_argument("--seconds", type=float, default=240, help="when the last process is interrupted")
    parser.add_argument("--kills", type=int, default=10, help="processes to kill")
    arguments = parser.parse_args()
    finish(measure(arguments.draws, arguments.seconds, arguments.kills), arguments.json)
