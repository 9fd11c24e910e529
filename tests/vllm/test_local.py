"""`nsad collect --teacher vllm:PATH` and `hf:PATH` on SmolLM2, without a server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from nsad_cli.store.rationales import Store
from nsad_cli.types import Draw, Finish, problem_id
from tests.helpers.vllm_commands import collect, command, draws, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SHORT = (
    "What is 3 + 4?",
    "Ana has 5 cups and buys 2 more. How many has she?",
    "Ben had 9 pens and lost 3. How many now?",
)
LONG = "Add up these numbers: " + "7 " * 2100
"""Longer than the 4,096 tokens that vLLM would read at once, were prompts cut in pieces."""
TOO_LONG = "Add up these numbers: " + "8 " * 4500
"""Longer than SmolLM2's context."""


def problems(folder: Path, *questions: str) -> str:
    path = folder / "problems.jsonl"
    path.write_text("".join(json.dumps({"question": text, "answer": "7"}) + "\n" for text in questions))
    return f"jsonl@{path}"


@pytest.fixture(scope="module")
def by_vllm(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    """A home, its problems, and a collection by vLLM of two draws each, one of the problems too long."""
    home = tmp_path_factory.mktemp("vllm")
    spec = problems(home, *SHORT, LONG, TOO_LONG)
    return home, spec, collect(home, "a", "--teacher", f"vllm:{model}", "--problems", spec, "-k", "2", *TOKENS)


TOKENS = ("--max-tokens", "24")


def test_vllm_answers_what_fits(by_vllm: tuple[Path, str, dict[str, Any]]) -> None:
    home, _, result = by_vllm
    assert (result["draws"], result["new"], result["failed"]) == (8, 8, 1)
    stored = draws(home, result)
    assert set(stored) == {(problem_id(text.strip()), index) for text in (*SHORT, LONG) for index in (0, 1)}
    for (problem, _), draw in stored.items():
        assert draw.text.strip() or problem == problem_id(LONG.strip())
        assert draw.prompt_tokens > 20
        assert 0 < draw.completion_tokens <= 24
        assert draw.finish is Finish.STOP or draw.completion_tokens == 24  # the 24th token can be the end of the text
    assert stored[problem_id(LONG.strip()), 0].prompt_tokens > 4096
    assert any(stored[problem_id(text), 0].text != stored[problem_id(text), 1].text for text in SHORT)


def test_hf_reads_the_same_prompts(by_vllm: tuple[Path, str, dict[str, Any]], model: Path, tmp_path: Path) -> None:
    flags = ("--teacher", f"hf:{model}", "--problems", problems(tmp_path, *SHORT), *TOKENS)
    first = collect(tmp_path, "a", *flags, "-k", "1")
    assert (first["draws"], first["new"], first["failed"]) == (3, 3, 0)
    kept = draws(tmp_path, first)
    more = collect(tmp_path, "a", *flags, "-k", "2")
    assert (more["draws"], more["new"]) == (6, 3)
    stored = draws(tmp_path, more)
    assert {key: stored[key] for key in kept} == kept
    theirs = draws(by_vllm[0], by_vllm[2])
    for key, draw in stored.items():
        assert draw.text.strip()
        assert 0 < draw.completion_tokens <= 24
        assert draw.prompt_tokens == theirs[key].prompt_tokens


def test_interrupted_it_keeps_what_arrived_and_leaves_no_process(model: Path, tmp_path: Path) -> None:
    """Ctrl-C goes to the whole group of the terminal; vLLM hears of it from us alone."""
    with asking(model, tmp_path) as (process, log):
        wait_until(process, log, lambda: len(all_draws(tmp_path)) > 0)
        arrived, children = all_draws(tmp_path), psutil.Process(process.pid).children(recursive=True)
        assert len(children) > 1, "vLLM has processes of its own"
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130, log.read_text()
    assert not psutil.wait_procs(children, timeout=30)[1]
    kept = all_draws(tmp_path)
    assert arrived.items() <= kept.items()
    assert len(kept) < 60
    assert "error: interrupted" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_killed_while_vllm_starts_it_leaves_no_process(model: Path, tmp_path: Path) -> None:
    with asking(model, tmp_path) as (process, log):
        family = psutil.Process(process.pid)
        wait_until(process, log, lambda: len(family.children(recursive=True)) > 1)
        children = family.children(recursive=True)
        process.kill()
    assert not psutil.wait_procs(children, timeout=30)[1]


@contextlib.contextmanager
def asking(model: Path, home: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A collection under way that has long to go, in a group of its own, and what it tells."""
    flags = ("--teacher", f"vllm:{model}", "--problems", problems(home, *SHORT), "-k", "20", "--max-tokens", "400")
    log = home / "log"
    with log.open("w") as file:
        process = subprocess.Popen(command("a", *flags), env=environment(home), stderr=file, start_new_session=True)
    try:
        yield process, log
    finally:
        process.kill()
        process.wait()


def wait_until(process: subprocess.Popen[bytes], log: Path, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 600
    while not reached():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def all_draws(home: Path) -> dict[tuple[str, int], Draw]:
    """What the run's store holds by now."""
    path = home / "a" / "store.sqlite"
    if not path.exists():
        return {}
    with Store(path) as store:
        return {(item.draw.problem_id, item.draw.index): item.draw for item in store.verdicts.ungraded("")}


def test_what_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "nowhere", tmp_path / "empty"):
        flags = ("--teacher", f"vllm:{path}", "--problems", "arithmetic:train", "--limit", "1", "--json")
        done = subprocess.run(
            command("a", *flags), check=False, env=environment(tmp_path), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 1
        assert done.stdout == ""
        assert f"cannot load the teacher `vllm:{path}`" in done.stderr.splitlines()[-3]
