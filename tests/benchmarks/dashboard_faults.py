"""The dashboard under random keys on runs that are hostile, damaged, deleted, renamed and made anew meanwhile.

    python -m tests.benchmarks.dashboard_faults [--json] [--seconds 120] [--seed 0] [--keys 150]

Sessions follow each other, each with the next seed. A failed one prints its seed and traceback; --seed SEED --seconds 0
repeats it. A process that makes no progress for a minute prints its stack and ends.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from tests.benchmarks.report import at_least, at_most, finish
from tests.helpers.random_keys import random_session
from tests.helpers.run_mishaps import make_runs


def measure(seconds: float, seed: int, keys: int) -> dict[str, Any]:
    """Run sessions until the time is over."""
    began, first = time.monotonic(), seed
    pressed, mishaps, failed, controls, slowest = 0, 0, 0, 0, 0.0
    with tempfile.TemporaryDirectory() as name:
        pristine = Path(name) / "pristine"
        make_runs(pristine)
        while True:
            faulthandler.dump_traceback_later(60, exit=True)
            try:
                session = random_session(pristine, Path(name) / str(seed) / "runs", seed, keys)
                pressed, mishaps = pressed + session.keys, mishaps + session.mishaps
                if session.slowest > slowest:
                    slowest = session.slowest
                    print(f"seed {seed}: {session.slowest_key} took {slowest:.2f} s", file=sys.stderr)
                controls += len(session.controls)
                if session.controls:
                    print(f"seed {seed}: {session.controls[0]}", file=sys.stderr)
            except Exception:
                failed += 1
                print(f"seed {seed}: {traceback.format_exc()}", file=sys.stderr)
            seed += 1
            if time.monotonic() - began >= seconds:
                break
    faulthandler.cancel_dump_traceback_later()
    figures = {
        "keys": at_least(pressed, None),
        "mishaps": at_least(mishaps, None),
        "failed_sessions": at_most(failed, 0),
        "screens_with_control_characters": at_most(controls, 0),
        "slowest_key_seconds": at_most(slowest, 5),
    }
    return {"figures": figures, "conditions": {"sessions": seed - first, "first_seed": first, "keys_each": keys}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.dashboard_faults")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--seconds", type=float, default=120, help="when no more sessions are started")
    parser.add_argument("--seed", type=int, default=0, help="of the first session")
    parser.add_argument("--keys", type=int, default=150, help="keys of a session")
    arguments = parser.parse_args()
    finish(measure(arguments.seconds, arguments.seed, arguments.keys), arguments.json)
