"""`nsad doctor`: no slow import that it does not need, and a sign of life on a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.helpers.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path


def test_only_torch_is_imported() -> None:
    code = "from nsad_cli.cli.doctor_checks import check_all; import sys; print([check.name for check in check_all()])"
    check = f"{code}; print([name for name in ('transformers', 'peft', 'datasets', 'openai') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True, timeout=120)
    names, imported = done.stdout.splitlines()
    assert "device" in names
    assert "smollm2" in names
    assert imported == "[]"


def test_a_terminal_shows_what_is_checked(tmp_path: Path) -> None:
    with Terminal(tmp_path, "doctor", "--json") as terminal:
        terminal.wait_for_line("looking for a device")
        code, result = terminal.end("")
    assert code in (0, 1)
    assert {"torch", "device", "hub"} <= {check["name"] for check in json.loads(result)["checks"]}
