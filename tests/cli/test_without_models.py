"""Commands that need no model import none of its libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.vote_run import make_run

COMMANDS = (
    "--version",
    "runs",
    "runs use taken",
    "collect --teacher arithmetic --problems arithmetic:train --limit 3 --run made",
    "grade --run made",
    "stats --run made",
    "stats --run made --overlap arithmetic:test",
    "data export made.jsonl --run made",
    "data import made.jsonl --run imported",
    "vote chains.jsonl",
    "vote --run taken",
    "vote --run taken --explain 2",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_it_imports_none_of_them(command: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    home, folder = Path(os.environ["NSAD_HOME"]), tmp_path_factory.mktemp("here")
    make_run(home)
    chains = [{"text": "The answer is 8."}, {"text": "The answer is 7."}]
    (folder / "chains.jsonl").write_text(json.dumps({"id": "a", "gold": "8", "chains": chains}))
    needs = COMMANDS[3 : COMMANDS.index(command)] if "made" in command else ()
    code = f"from tests.helpers.commands_in_process import run_all; run_all({[*needs, command]!r})"
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=folder, env=env)
    results, heavy = json.loads(done.stdout.splitlines()[-1])
    assert results[-1][0] == 0, results[-1][1]
    assert not {"torch", "transformers"} & set(heavy)
