"""`nsad collect` with vLLM as a process, and what it has stored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nsad_cli.store.rationales import Store

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.types import Draw

Collect = Callable[..., dict[str, Any]]


def environment(home: Path) -> dict[str, str]:
    """Variables of a process whose runs are in `home`; the converted model stays where the user's cache is."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("NSAD_", "OPENAI_"))}
    cache = {"NSAD_CACHE": os.environ["NSAD_CACHE"]} if "NSAD_CACHE" in os.environ else {}
    return {**kept, **cache, "NSAD_HOME": str(home), "XDG_CONFIG_HOME": str(home), "VLLM_CPU_KVCACHE_SPACE": "1"}


def command(run: str, *arguments: str) -> list[str]:
    """`nsad collect` as one types it."""
    return [sys.executable, "-m", "nsad_cli", "collect", "--run", run, *arguments]


def collect(home: Path, run: str, *arguments: str) -> dict[str, Any]:
    """Run `nsad collect` in a process; its stdout must be one JSON object and nothing else."""
    done = subprocess.run(
        [*command(run, *arguments), "--json"],
        check=False,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def draws(home: Path, result: dict[str, Any]) -> dict[tuple[str, int], Draw]:
    """What a collection's store holds, by problem and index."""
    with Store(home / result["run"] / "store.sqlite") as store:
        return {(draw.problem_id, draw.index): draw for draw in store.draws(result["teacher"], result["params"])}
