"""`nsad collect --dry-run` and `--batch` as their users meet them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.helpers.batch_api import Serve, batch_servers
from tests.helpers.nsad_process import failure, run_nsad

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ASKED = ("--problems", "arithmetic:train", "--limit", "12", "-k", "3")
PRICES = ("--set", "teacher.price.input=1", "--set", "teacher.price.output=2")


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    yield from batch_servers(tmp_path, monkeypatch)


def test_a_dry_run_makes_nothing_and_needs_no_key(tmp_path: Path) -> None:
    table = run_nsad(tmp_path, "collect", "--dry-run", "--teacher", "gpt-4", *ASKED, NO_COLOR="1", COLUMNS="80")
    assert table.returncode == 0, table.stderr
    assert "cost in US dollars" in table.stdout
    assert "$30 and $60 per million" in table.stdout
    unknown = run_nsad(tmp_path, "collect", "--dry-run", "--teacher", "nobodys", *ASKED)
    assert "price: unknown" in unknown.stdout
    assert "--set teacher.price.input=" in unknown.stdout
    priced = run_nsad(tmp_path, "collect", "--dry-run", "--teacher", "nobodys", *ASKED, *PRICES, "--batch", "--json")
    quote = json.loads(priced.stdout)
    assert (quote["draws"], quote["requests"]) == (36, 12)
    assert quote["batch"]
    assert 0 < quote["cost"] < quote["cost_at_most"]
    assert "own solutions" in quote["completions_by"]
    tokens = quote["prompt_tokens_at_most"] + 2 * quote["completion_tokens_at_most"]
    assert quote["cost_at_most"] == pytest.approx(0.5e-6 * tokens)
    assert [path for path in tmp_path.iterdir() if path.is_dir() and path.name == "runs"] == []


def test_a_dry_run_of_a_run_counts_its_store_and_leaves_it(tmp_path: Path) -> None:
    made = run_nsad(tmp_path, "collect", "--teacher", "arithmetic", *ASKED, "--run", "mine")
    assert made.returncode == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")}
    more = run_nsad(tmp_path, "collect", "--dry-run", "--run", "mine", "-k", "5", "--json")
    assert (json.loads(more.stdout)["stored"], json.loads(more.stdout)["to_ask"]) == (36, 24)
    store = ("--store", str(tmp_path / "runs" / "mine" / "store.sqlite"))
    shared = run_nsad(tmp_path, "collect", "--dry-run", "--teacher", "arithmetic", *ASKED, *store, "--json")
    assert json.loads(shared.stdout)["stored"] == 36
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")} == before
    failure(run_nsad(tmp_path, "collect", "--dry-run", "--run", "mine", "--store", str(tmp_path / "x.sqlite")), 2)
    lines = failure(run_nsad(tmp_path, "collect", "--dry-run", "--teacher", "gpt-4", HF_HUB_OFFLINE="1"), 1)
    assert "NSAD_DATA" in lines[2]
    failure(run_nsad(tmp_path, "collect", "--dry-run", "--teacher", "arithmetic", "--batch", *ASKED), 2)


def test_the_same_command_again_goes_on_with_a_stopped_run(serve: Serve, tmp_path: Path) -> None:
    """Not one draw of an unnamed run is paid twice."""
    server = serve()
    server.control(hold="in_progress")
    command = ["collect", "--teacher", "m", "--base-url", f"{server.url}/v1", *ASKED, "--batch"]
    environment = {**os.environ, "HOME": str(tmp_path), "NSAD_HOME": str(tmp_path / "runs")}
    first = subprocess.Popen([sys.executable, "-m", "nsad_cli", *command], env=environment, stderr=subprocess.DEVNULL)
    while server.states() != ["in_progress"]:
        assert first.poll() is None
        time.sleep(0.1)
    first.kill()
    first.wait()
    server.control(hold="")
    quote = json.loads(run_nsad(tmp_path, *command, "--dry-run", "--json").stdout)
    assert (quote["in_batches"], quote["to_ask"]) == (36, 0)
    assert json.loads(run_nsad(tmp_path, *command, "--json").stdout)["new"] == 36
    assert len(list((tmp_path / "runs").iterdir())) == 1 == len(server.told()["batches"])
    other = run_nsad(tmp_path, "collect", "--teacher", "arithmetic", *ASKED, "--json")
    assert len(list((tmp_path / "runs").iterdir())) == 2
    assert json.loads(other.stdout)["new"] == 36


@pytest.mark.slow
def test_an_interrupted_batch_goes_on_without_us(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    server.control(hold="in_progress")
    command = ("collect", "--teacher", "m", "--base-url", f"{server.url}/v1", *ASKED, "--run", "mine")
    environment = {**os.environ, "HOME": str(tmp_path), "NSAD_HOME": str(tmp_path / "runs")}
    first = subprocess.Popen(
        [sys.executable, "-m", "nsad_cli", *command, "--batch"], env=environment, stderr=subprocess.PIPE, text=True
    )
    while server.states() != ["in_progress"]:
        assert first.poll() is None
        time.sleep(0.1)
    first.send_signal(signal.SIGINT)
    said = first.communicate(timeout=30)[1]
    assert first.returncode == 130
    assert "36 draws are in batches that the API continues" in said
    assert "nsad collect --batch --run mine" in said
    plain = run_nsad(tmp_path, *command, "--no-batch")
    assert plain.returncode == 0
    assert "36 draws are in open batches" in plain.stderr
    server.control(hold="")
    last = run_nsad(tmp_path, "collect", "--batch", "--run", "mine", *PRICES, "--json")
    result = json.loads(last.stdout)
    assert (result["draws"], result["new"], result["in_batches"]) == (36, 36, 0)
    assert result["cost"] == pytest.approx(0.5 * (12 * 10 * 1e-6 + 36 * 5 * 2e-6))
    assert len(server.told()["batches"]) == 1
    assert len(server.told()["requests"]) == 12


def test_max_draws_alone_spends_nothing(tmp_path: Path) -> None:
    for options, told in (
        (["--max-draws", "6"], "--until"),
        (["-k", "9", "--max-draws", "6", "--until", "positives=1"], "below teacher.draws"),
    ):
        refused = run_nsad(tmp_path, "collect", "--teacher", "arithmetic", *ASKED, *options)
        assert refused.returncode == 2
        assert told in refused.stderr
        assert len(refused.stderr.splitlines()) == 3
