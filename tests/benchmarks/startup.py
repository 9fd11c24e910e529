"""Start-up: processor time of `nsad --help` against the import of typer, and of `nsad solve` until its first token.

    python -m tests.benchmarks.startup [--json] [--rounds 9] [--solves 3]

Processes take turns, so that a ratio compares what ran under the same load. Times are of the processor, in the main
process. The solve is on SmolLM2 with an untrained LoRA, whose adapter is written first; the model has been converted
before. `first_token_imports_s` is the part of it that torch, transformers and PEFT take to be imported: the floor of
any program with them. The dashboard's start is in `tests.benchmarks.dashboard`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from nsad_cli.config.stages import STUDENT
from nsad_cli.config.validation import validate_recipe
from nsad_cli.inference.session import Session
from nsad_cli.models.nat.adapter_files import save_adapter
from nsad_cli.runs.run import Run
from nsad_cli.utils.files import weights_digest
from tests.benchmarks.report import at_most, finish

QUESTION = "Ana has 12 pens. Ana buys 7 more pens. Ana loses 5 pens. How many pens does Ana have now?"
RUN_NSAD = "from nsad_cli.cli.main import main\ntry: main()\nexcept SystemExit: pass\n"
PRINT_TIME = "\nimport time; print(f'seconds {time.process_time()}')"
LIGHT = {
    "typer": f"import typer{PRINT_TIME}",
    "help": f"import sys; sys.argv = ['nsad', '--help']\n{RUN_NSAD}{PRINT_TIME}",
    "version": f"import sys; sys.argv = ['nsad', '--version']\n{RUN_NSAD}{PRINT_TIME}",
}
"""Programs that print their processor time at their end."""
HEAVY = {
    "imports": f"import torch, peft; from transformers import LlamaForCausalLM{PRINT_TIME}",
    "solve": f"""
import os, sys, time
from nsad_cli.cli.render.live_votes import LiveVotes
def first(self, new):
    print(f'seconds {{time.process_time()}}', flush=True)
    os._exit(0)
LiveVotes.tokens = first
sys.argv = ['nsad', 'solve', {QUESTION!r}]
{RUN_NSAD}""",
}


def seconds(program: str) -> float:
    """The processor time that a program prints."""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("seconds "):
            return float(line.split()[1])
    raise SystemExit(f"it printed no time: {done.stderr[-500:]}")


def rounds(programs: dict[str, str], count: int) -> dict[str, list[float]]:
    """The times of each program, in turns; the first round only warms up."""
    found = [{name: seconds(program) for name, program in programs.items()} for _ in range(count + 1)]
    return {name: [times[name] for times in found[1:]] for name in programs}


def make_run() -> None:
    """Write a run whose student is an untrained LoRA."""
    run = Run.create("startup", validate_recipe({"student": {"device": "cpu"}}, "benchmark"))
    session = Session(run)
    session.adapters.add_lora(STUDENT.name, session.adapter_settings, 0)
    with run.stage(STUDENT.name, "untrained") as result:
        save_adapter(session.adapters, STUDENT.name, run.adapter_path(STUDENT.name))
        result["weights"] = weights_digest(run.adapter_path(STUDENT.name))


def measure(light: int, heavy: int) -> dict[str, Any]:
    """All figures, with the spread of what has a goal."""
    found = rounds(LIGHT, light)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NSAD_HOME"] = folder
        with contextlib.redirect_stdout(sys.stderr):
            make_run()
        found |= rounds(HEAVY, heavy)
    middle = {name: statistics.median(times) for name, times in found.items()}
    figures = {
        "help_to_typer": at_most(middle["help"] / middle["typer"], 2.0),
        "version_to_typer": at_most(middle["version"] / middle["typer"], None),
        "typer_s": at_most(middle["typer"], None),
        "first_token_s": at_most(middle["solve"], 4.0),
        "first_token_imports_s": at_most(middle["imports"], None),
    }
    spread = {name: f"{min(times):.3f} to {max(times):.3f}" for name, times in found.items()}
    return {
        "figures": figures,
        "conditions": {
            "spread_s": spread,
            "rounds": light,
            "solves": heavy,
            "load_average": round(os.getloadavg()[0], 1),
            "python": sys.version.split()[0],
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.startup")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--solves", type=int, default=3)
    arguments = parser.parse_args()
    finish(measure(arguments.rounds, arguments.solves), arguments.json)
