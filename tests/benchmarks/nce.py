"""NCE's training loop against a literal port of the reference's: peak memory and real tokens a second on SmolLM2.

    NSAD_DATA=… python -m tests.benchmarks.nce [--json] [--rounds 3]

NSAD_DATA holds tdg/GPT3.5-turbo-MATH, of which rationales under the reference's 1,200 characters are taken. Each form
runs in a process of its own, on the same micro-batches of one sequence (the reference's) and of four; peak memory is
the process's highest resident size, what Python, torch and the data take included. The literal form has two copies of
the base and full logits, every sequence padded to the longest; ours one copy and chunks. Ours is measured with the
negative pass (first epoch) and without it (later epochs, from kept KL).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

from tests.benchmarks.report import at_least, at_most, data_path, finish

MAX_CHARS = 1200
RATIONALES = "tdg/GPT3.5-turbo-MATH"
FORMS = ("literal", "ours", "ours-later")


def run_form(form: str, size: int, rounds: int) -> dict[str, float]:
    """One form's peak memory in MiB and real tokens a second, in this process."""
    import random

    from nsad_cli.models.nat.layer import NatLinear
    from nsad_cli.models.student import load_student
    from nsad_cli.training.nce import NceObjective
    from tests.benchmarks.nat_layer import LiteralVariant
    from tests.benchmarks.reference import nce_step, padded, trio
    from tests.benchmarks.train_throughput import real_examples

    student = load_student("smollm2", device="cpu", dtype="float32")
    groups = real_examples(student, MAX_CHARS)
    chosen = [group[0] for group in groups]
    longest = max(map(len, chosen))
    random.Random(2).shuffle(chosen)
    batches = [chosen[size * i : size * (i + 1)] for i in range(rounds + 1)]
    if form == "literal":
        own = trio(student.model, ("nce",))
        teachers = trio(load_student("smollm2", device="cpu", dtype="float32").model, ("negative", "nat"))
        for module in teachers.model.modules():
            if isinstance(module, NatLinear):
                module.lora_variant["nat"] = LiteralVariant()
        own.train_only("nce")

        def step(examples: Any) -> None:
            nce_step(own, teachers, *padded(examples, longest, student.pad_id))
    else:
        adapters = trio(student.model)
        objective = NceObjective(adapters, lam=0.5, beta="sequence")
        objective.train()
        if form == "ours-later":
            objective.prepare(chosen, 2)
            for batch in batches:  # the first epoch keeps its KL
                for pack in objective.packs(batch, 4096):
                    objective.loss(pack)

        def step(examples: Any) -> None:
            for pack in objective.packs(examples, 4096):
                objective.loss(pack).total.backward()

    step(batches[0])
    started = time.perf_counter()
    for batch in batches[1:]:
        step(batch)
    seconds = time.perf_counter() - started
    tokens = sum(len(example) for batch in batches[1:] for example in batch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {"peak_mib": round(peak), "tokens_per_second": round(tokens / seconds, 2), "longest": longest}


def measure(rounds: int) -> dict[str, Any]:
    """Every form, in turn."""
    data_path(RATIONALES)
    found: dict[str, dict[str, float]] = {}
    for size in (1, 4):
        for form in FORMS:
            print(f"{form}, {size} at once …", file=sys.stderr)
            command = [sys.executable, "-m", "tests.benchmarks.nce", "--form", form, "--size", str(size)]
            done = subprocess.run([*command, "--rounds", str(rounds)], stdout=subprocess.PIPE, check=True, text=True)
            found[f"{form} × {size}"] = json.loads(done.stdout)
    figures = {}
    for size in (1, 4):
        literal = found[f"literal × {size}"]
        for form in FORMS[1:]:
            own, name = found[f"{form} × {size}"], f"{form.replace('-', '_')}_{size}"
            figures[f"memory_{name}"] = at_most(own["peak_mib"] / literal["peak_mib"], 0.55)
            figures[f"speed_{name}"] = at_least(own["tokens_per_second"] / literal["tokens_per_second"], 4)
    return {"figures": figures, "conditions": {"rounds": rounds, "measured": found}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.nce")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--rounds", type=int, default=3, help="micro-batches that are timed")
    parser.add_argument("--form", choices=FORMS, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.form:
        print(json.dumps(run_form(arguments.form, arguments.size, arguments.rounds)))
    else:
        finish(measure(arguments.rounds), arguments.json)
