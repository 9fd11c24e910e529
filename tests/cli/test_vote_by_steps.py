"""`nsad vote FILE --ranker steps`: recorded chains are weighted by their arithmetic, without weights or a model."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from nsad_cli.cli.main import app
from nsad_cli.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

WRONG, RIGHT = "27 + 30 = 67. The answer is 67.", "27 + 30 = 57. The answer is 57."
LINES = [
    {"id": "outvoted", "gold": "57", "chains": [{"text": WRONG}, {"text": WRONG}, {"text": RIGHT}]},
    {"id": "unchecked", "gold": "57", "chains": [{"text": "It is 57."}, {"text": "It is 57."}, {"text": "It is 5."}]},
    {"id": "recorded", "gold": "57", "chains": [{"text": WRONG, "weight": 0.9}, {"text": RIGHT, "weight": 0.1}]},
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "chains.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return path


def accuracy(file: Path, *options: str) -> float:
    result = CliRunner().invoke(app, ["vote", str(file), *options, "--json"])
    assert result.exception is None, result.exception
    found = json.loads(result.stdout)
    assert {"rule", "n", "accuracy", "ci95"} <= set(found)
    value: float = found["accuracy"]
    return value


def test_steps_replace_recorded_weights(file: Path) -> None:
    assert accuracy(file, "--rule", "sc") == pytest.approx(1 / 3)
    assert accuracy(file, "--ranker", "steps") == 1.0, "the rule is asc then; what cannot be checked is counted"
    assert accuracy(file, "--rule", "best", "--ranker", "steps") == 1.0


def test_without_a_rule_every_rule_is_counted(file: Path) -> None:
    result = CliRunner().invoke(app, ["vote", str(file), "--json"])
    found = json.loads(result.stdout)
    assert (found["rule"], found["n"], found["accuracy"]) == ("sc", 3, pytest.approx(1 / 3))
    assert [row["rule"] for row in found["rules"]] == ["sc", "asc", "asc-add", "asc-add2", "best", "any"]
    assert [row["accuracy"] for row in found["rules"]] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 3, 1.0])
    last = found["rules"][-1]
    assert (last["won"], last["lost"], last["p"]) == (2, 0, 0.5)
    assert last["difference"] == pytest.approx(2 / 3)
    assert last["difference_ci95"][0] < last["difference"] < last["difference_ci95"][1]
    printed = CliRunner().invoke(app, ["vote", str(file), "--ranker", "steps"]).stdout
    assert "100.0%" in printed
    assert "2 : 0" in printed


def test_it_imports_no_torch(file: Path) -> None:
    code = (
        "import sys; from nsad_cli.cli.main import app; from typer.testing import CliRunner; "
        f"result = CliRunner().invoke(app, ['vote', {str(file)!r}, '--ranker', 'steps']); "
        "sys.exit(result.exception is not None or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_has_its_own_ranker() -> None:
    result = CliRunner().invoke(app, ["vote", "--run", "any", "--ranker", "steps"])
    assert isinstance(result.exception, UsageError)
    assert "needs a FILE" in result.exception.what
