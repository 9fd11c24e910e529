"""`nsad collect --teacher vllm:PATH` and `hf:PATH` on SmolLM2, without a server."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from nsad_cli.config import TeacherConfig
from nsad_cli.store import Store
from nsad_cli.teachers.vllm import VllmTeacher
from nsad_cli.types import Draw, Finish, problem_id
from tests.vllm.conftest import collect, command, draws, environment

SHORT = (
    "What is 3 + 4?",
    "Ana has 5 cups and buys 2 more. How many has she?",
    "Ben had 9 pens and lost 3. How many now?",
)
LONG = "Add up these numbers: " + "7 " * 2600
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
    assert (result["draws"], result["new"], result["failed"]) == (8, 8, 2)
    stored = draws(home, result)
    assert set(stored) == {(problem_id(text.strip()), index) for text in (*SHORT, LONG) for index in (0, 1)}
    for (problem, _), draw in stored.items():
        assert draw.text.strip() or problem == problem_id(LONG.strip())
        assert draw.prompt_tokens > 20 and 0 < draw.completion_tokens <= 24
        assert (draw.finish is Finish.LENGTH) == (draw.completion_tokens == 24)
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
        assert draw.text.strip() and 0 < draw.completion_tokens <= 24
        assert draw.prompt_tokens == theirs[key].prompt_tokens


def test_interrupted_it_keeps_what_arrived_and_leaves_no_process(model: Path, tmp_path: Path) -> None:
    flags = ("--teacher", f"vllm:{model}", "--problems", problems(tmp_path, *SHORT), "-k", "40", "--max-tokens", "400")
    process = subprocess.Popen(command("a", *flags), env=environment(tmp_path))
    try:
        deadline = time.monotonic() + 240
        while not (arrived := all_draws(tmp_path)) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.5)
        assert arrived, "nothing arrived"
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    finally:
        process.kill()
    assert children and not psutil.wait_procs(children, timeout=20)[1]
    assert arrived.items() <= all_draws(tmp_path).items() and len(all_draws(tmp_path)) < 120


def test_a_draw_has_a_seed_of_its_own(model: Path) -> None:
    teacher = VllmTeacher(str(model), TeacherConfig())
    seeds = [teacher.sampling(f"{problem}:{index}").seed for problem in "abc" for index in range(40)]
    assert len(set(seeds)) == 120
    assert seeds == [teacher.sampling(f"{problem}:{index}").seed for problem in "abc" for index in range(40)]


def all_draws(home: Path) -> dict[tuple[str, int], Draw]:
    """What the run's store holds by now."""
    path = home / "a" / "store.sqlite"
    if not path.exists():
        return {}
    with Store(path) as store:
        return {(item.draw.problem_id, item.draw.index): item.draw for item in store.ungraded("")}


def test_what_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "nowhere", tmp_path / "empty"):
        flags = ("--teacher", f"vllm:{path}", "--problems", "arithmetic:train", "--limit", "1", "--json")
        done = subprocess.run(
            command("a", *flags), env=environment(tmp_path), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 1 and done.stdout == ""
        assert f"cannot load the teacher `vllm:{path}`" in done.stderr.splitlines()[-3]
