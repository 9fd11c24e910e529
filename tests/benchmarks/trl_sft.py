"""Training of a LoRA on rationales: this project against TRL's SFTTrainer, in turn.

    NSAD_DATA=… python -m tests.benchmarks.trl_sft --python PATH [--json] [--rounds 3] [--steps 1]

NSAD_DATA holds tdg/GPT3.5-turbo-MATH; PATH is the Python of an environment with TRL (`pip install trl peft`). Both
train new adapters with the same settings on the same token ids, one rationale a problem: `train` of this project, and
`SFTTrainer.train`, each with its own planning, packing, logging and its checkpoint at the end. Only completion tokens
carry a loss, and they are what is counted. TRL runs with padding (4 sequences at a time) and with packing=True, all
without gradient checkpointing, which costs time; in bfloat16 also with autocast, its default. The best of these counts,
float32 against float32 and bfloat16 against bfloat16.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nsad_cli.config.schema import Recipe, StageConfig
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.student import load_student, smollm2_folder
from nsad_cli.runs.run import Run
from nsad_cli.training.likelihood import CompletionObjective
from nsad_cli.training.trainer import forget_checkpoints, train
from tests.benchmarks.reference import PAPER
from tests.benchmarks.report import at_least, data_path, finish
from tests.benchmarks.train_throughput import RATIONALES, real_examples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.models.packing import Example

STAGE = "cot-kd"
SETTINGS = StageConfig(epochs=1, batch_size=8, learning_rate=3e-4, warmup_steps=1, checks=1)
GOAL = 2.0
WORKER = Path(__file__).with_name("trl_sft_worker.py")
THEIRS = {
    "float32": {"padded": (False, False), "packed": (True, False)},
    "bfloat16": {"padded": (False, False), "packed": (True, False), "packed, autocast": (True, True)},
}
"""TRL's variants in each dtype: whether sequences are packed, and whether autocast is used."""


class Ours:
    """Trains adapters of one loaded student."""

    def __init__(self, dtype: str, run: Run) -> None:
        self.run = run
        self.adapters = Adapters(load_student("smollm2", device="cpu", dtype=dtype).model)

    def seconds(self, examples: Sequence[Example]) -> float:
        """Train a new adapter for one epoch.

        Returns:
            The seconds of `train`.
        """
        self.adapters.add_lora(STAGE, PAPER, seed=0)
        forget_checkpoints(self.run, STAGE)
        objective = CompletionObjective(self.adapters, STAGE)
        started = time.perf_counter()
        train(objective, examples, [], stage=STAGE, run=self.run, settings=SETTINGS, seed=0, on_cpu=True, bf16=False)
        seconds = time.perf_counter() - started
        self.adapters.delete(STAGE)
        return seconds


class Theirs:
    """A process in TRL's environment; see trl_sft_worker."""

    def __init__(self, python: str, job: Path) -> None:
        self.process = subprocess.Popen(
            [python, str(WORKER), str(job)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def seconds(self, **request: Any) -> float:
        """Train a new adapter for one epoch."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        if not (answer := self.process.stdout.readline()):
            raise SystemExit(f"TRL's process ended with {self.process.wait()}; its errors are above")
        return float(answer)

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


def write_job(path: Path, examples: Sequence[Example]) -> None:
    """Write what TRL's process needs."""
    settings = {"r": PAPER.r, "alpha": PAPER.alpha, "dropout": PAPER.dropout, "targets": list(PAPER.targets)}
    job = {
        "folder": str(smollm2_folder()),
        "settings": {**settings, "learning_rate": SETTINGS.learning_rate, "batch_size": SETTINGS.batch_size},
        "sequences": [([*item.prompt, *item.completion], len(item.prompt)) for item in examples],
    }
    path.write_text(json.dumps(job))


def measure(python: str, rounds: int, steps: int) -> dict[str, Any]:
    """Loss-carrying tokens a second of ours and of TRL's variants, in turn; the first round is not counted."""
    size = SETTINGS.batch_size * steps
    student = load_student("smollm2", device="cpu", dtype="float32", weights=False)
    examples = [group[0] for group in real_examples(student)][: size * (rounds + 1)]
    rates: dict[str, dict[str, list[float]]] = {dtype: {} for dtype in THEIRS}
    with tempfile.TemporaryDirectory() as name:
        os.environ["NSAD_HOME"] = name
        run = Run.create("trl", Recipe())
        write_job(job := Path(name) / "job.json", examples)
        theirs, ours = Theirs(python, job), {dtype: Ours(dtype, run) for dtype in THEIRS}
        try:
            for number in range(rounds + 1):
                indices = range(size * number, size * (number + 1))
                tokens = sum(len(examples[index].completion) for index in indices)
                for dtype, variants in THEIRS.items():
                    print(f"round {number} {dtype} …", file=sys.stderr)
                    seconds = {"ours": ours[dtype].seconds([examples[index] for index in indices])}
                    for variant, (packing, autocast) in variants.items():
                        request = {"dtype": dtype, "packing": packing, "autocast": autocast, "indices": list(indices)}
                        seconds[variant] = theirs.seconds(**request)
                    if number:
                        for case, value in seconds.items():
                            rates[dtype].setdefault(case, []).append(tokens / value)
        finally:
            theirs.stop()
    return report(rates, {"rounds": rounds, "steps": steps, "sequences_per_step": SETTINGS.batch_size})


def report(rates: dict[str, dict[str, list[float]]], conditions: dict[str, Any]) -> dict[str, Any]:
    """The median over rounds of our rate over that of TRL's best variant, with the spread."""
    figures, ratios, medians = {}, {}, {}
    for dtype, cases in rates.items():
        medians[dtype] = {case: round(statistics.median(values), 1) for case, values in cases.items()}
        best = max((case for case in cases if case != "ours"), key=lambda case: medians[dtype][case])
        ratios[dtype] = sorted(a / b for a, b in zip(cases["ours"], cases[best], strict=True))
        figures[f"{dtype}_over_trl"] = at_least(statistics.median(ratios[dtype]), GOAL)
    spread = {dtype: [round(value, 2) for value in values] for dtype, values in ratios.items()}
    more = {"loss_tokens_per_second": medians, "ratios": spread, "threads": torch.get_num_threads()}
    return {"figures": figures, "conditions": {**conditions, **more}}


def require_trl(python: str) -> None:
    """Exit with three lines if the environment has no TRL."""
    try:
        found = subprocess.run(
            [python, "-c", "import trl, peft, datasets"], capture_output=True, text=True, check=False
        )
        reason = "" if found.returncode == 0 else (found.stderr.strip().splitlines() or ["its process failed"])[-1]
    except OSError as error:
        reason = str(error)
    if reason:
        fix = "make one: python -m venv DIR && DIR/bin/pip install torch trl peft, and give --python DIR/bin/python"
        raise SystemExit(f"the environment of {python} cannot run TRL\n  {reason}\n  {fix}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.trl_sft")
    parser.add_argument("--python", required=True, help="the Python of an environment with TRL")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--rounds", type=int, default=3, help="rounds whose median counts")
    parser.add_argument("--steps", type=int, default=1, help="optimizer steps of each training")
    arguments = parser.parse_args()
    data_path(RATIONALES)
    require_trl(arguments.python)
    finish(measure(arguments.python, arguments.rounds, arguments.steps), arguments.json)
