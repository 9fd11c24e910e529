"""`nsad dashboard` in a terminal, and where there is none."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

import pytest

from tests.helpers.nsad_process import run_nsad
from tests.helpers.run_folders import collected, make_run

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 60.0
ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
COLOUR = re.compile(r"[34]8;2;(\d+);(\d+);(\d+)")
STYLES = re.compile(r"\x1b\[[\d;]*m")


def watched(home: Path, *arguments: str, until: str, end: str | signal.Signals, **variables: str) -> tuple[int, str]:
    """Run it in a terminal until a text appears, end it by a key or a signal; its exit code and all that it wrote.

    Checks that the terminal is as before.
    """
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    before, received = termios.tcgetattr(slave), b""
    process = subprocess.Popen(
        [sys.executable, "-m", "nsad_cli", "dashboard", *arguments],
        cwd=home,
        env={**environment, "NSAD_HOME": "runs", "TERM": "xterm-256color", "COLORTERM": "truecolor", **variables},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    stop, ended = time.monotonic() + PATIENCE, False
    try:
        while process.poll() is None or select.select([master], [], [], 0.1)[0]:
            assert time.monotonic() < stop, received.decode(errors="replace")
            if select.select([master], [], [], 0.05)[0]:
                received += os.read(master, 65536)
            if not ended and until in STYLES.sub("", received.decode(errors="replace")):
                ended = True
                process.send_signal(end) if isinstance(end, signal.Signals) else os.write(master, end.encode())
        assert termios.tcgetattr(slave) == before
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)
    return process.returncode, received.decode(errors="replace")


@pytest.mark.parametrize("end", ["q", "\x03", "\x11", signal.SIGTERM], ids=["q", "Ctrl-C", "Ctrl-Q", "SIGTERM"])
def test_it_leaves_the_terminal_as_it_was(tmp_path: Path, end: str | signal.Signals) -> None:
    make_run(tmp_path / "runs", "first", collected())
    code, raw = watched(tmp_path, until="581 correct", end=end)
    assert code == 0
    assert raw.count(ENTER) == raw.count(LEAVE) == 1
    after = raw.rpartition(LEAVE)[2]
    assert "\x1b[?25h" in after
    assert "\x1b[?1000l" in raw
    assert not STYLES.sub("", re.sub(r"\x1b\[\?\d+[hl]", "", after))


def test_a_failure_is_three_lines_and_no_success(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from nsad_cli.dashboard.app import Dashboard\ndef fail(self): raise ValueError('a fault of ours')\n"
        "Dashboard.follow_files = fail\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    code, raw = watched(tmp_path, until="never", end="q", PYTHONPATH=path)
    after = STYLES.sub("", raw.rpartition(LEAVE)[2])
    assert code == 1
    assert "why: ValueError: a fault of ours" in after
    assert "Traceback" not in after


def test_no_run_at_all_says_what_to_run(tmp_path: Path) -> None:
    code, raw = watched(tmp_path, until="nsad run RECIPE", end="q")
    assert code == 0
    assert "nsad demo" in raw
    assert not (tmp_path / "runs").exists()


def test_a_screen_to_begin_with_and_a_run(tmp_path: Path) -> None:
    for name in ("first", "second"):
        make_run(tmp_path / "runs", name, collected())
    code, raw = watched(tmp_path, "--run", "first", "--view", "machine", until="this machine", end="q")
    assert code == 0
    assert "first" in raw
    assert "second" not in raw


def test_no_color_shows_no_hue(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "first", collected())
    for variables in ({}, {"NO_COLOR": "1"}):
        _, raw = watched(tmp_path, until="581 correct", end="q", **variables)
        hues = [found for found in COLOUR.findall(raw) if len(set(found)) > 1]
        assert bool(hues) == (not variables)


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (["--run", "frist"], {}, "no run named `frist`"),
        (["--view", "graph"], {}, "'graph' is not one of"),
        ([], {"TERM": "dumb"}, "TERM is `dumb`"),
        ([], {"NSAD_RUN": "gone"}, "no run named `gone`"),
    ],
)
def test_what_cannot_be_shown_is_told_in_three_lines(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], said: str
) -> None:
    make_run(tmp_path / "runs", "first", collected())
    code, raw = watched(tmp_path, *arguments, until="never", end="q", **variables)
    lines = STYLES.sub("", raw).strip().splitlines()
    assert code == 2
    assert len(lines) == 3
    assert said in raw
    assert ENTER not in raw
    assert [line.split(":")[0].strip() for line in lines] == ["error", "why", "try"]


def test_it_needs_a_terminal(tmp_path: Path) -> None:
    result = run_nsad(tmp_path, "dashboard")
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 3
    assert "needs a terminal" in result.stderr
    assert "nsad runs --json" in result.stderr
