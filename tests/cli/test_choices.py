"""Options that take one of some names report others at once, without the libraries of models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

WRONG = {
    "solve --rule asq x": ("asc", "best"),
    "vote chains.jsonl --rule asq": ("asc", "any"),
    "vote --run r --rule asq": ("asc", "best"),
    "train-nat --dtype bfloat": ("bfloat16", "float32"),
    "train-nce --device cud": ("cuda", "cpu"),
    "train-ranker --device cuda:x": ("cuda:N", "mps"),
    "solve --device gpu x": ("auto", "cuda:N"),
    "eval --device gpu": ("auto", "cuda:N"),
    "export --device gpu out": ("auto", "cuda:N"),
    "demo --device gpu": ("auto", "cuda:N"),
    "train-ranker --kind prob": ("probe", "encoder"),
    "train-ranker --objective bradley": ("bradley-terry", "bce"),
    "train-baseline cot": ("cot-kd", "redi"),
    "data export x.jsonl --format prefrence": ("preference", "unpaired"),
    "data export x.jsonl --side rigth": ("right", "wrong"),
    "eval --model nact": ("nat", "few-shot"),
    "run demo --dtype float3": ("float32", "bfloat16"),
    "run demo --set student.dtype=float3": ("float32", "bfloat16"),
    "run demo --set solve.rule=asq": ("asc", "best"),
    "run demo --set training.ranker.kind=prob": ("probe", "encoder"),
}
"""Commands with a wrong name, and names that their errors list; the first one is suggested if it is similar."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, list[str]]]:
    home: Path = tmp_path_factory.mktemp("home")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NSAD_")}
    code = f"from tests.helpers.commands_in_process import run_all; run_all({list(WRONG)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        env={**environment, "NSAD_HOME": str(home / "runs"), "XDG_CONFIG_HOME": str(home)},
    )
    found, heavy = json.loads(done.stdout)
    assert heavy == []
    assert not (home / "runs").exists()
    return {command: (code, text.splitlines()) for command, (code, text) in zip(WRONG, found, strict=True)}


@pytest.mark.parametrize("command", list(WRONG))
def test_a_wrong_name_is_reported_with_the_right_ones(results: dict[str, tuple[int, list[str]]], command: str) -> None:
    code, lines = results[command]
    assert code == 2, lines
    assert [line[:6] for line in lines] == ["error:", "  why:", "  try:"], lines
    assert all(name in " ".join(lines) for name in WRONG[command]), lines


@pytest.mark.parametrize("command", [command for command in WRONG if "gpu" not in command])
def test_the_most_similar_name_is_suggested(results: dict[str, tuple[int, list[str]]], command: str) -> None:
    assert f"did you mean `{WRONG[command][0]}`?" in results[command][1][2]
