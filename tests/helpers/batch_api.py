"""Servers of the Batch API as processes, and a teacher that asks one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.config.schema import TeacherConfig
from nsad_cli.teachers import make_teacher
from nsad_cli.teachers.openai import OpenAITeacher

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


@dataclass
class Server:
    """A running server of tests.helpers.batch_server."""

    url: str

    def told(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/told") as reply:
            return dict(json.load(reply))

    def control(self, **values: object) -> None:
        data = json.dumps(values).encode()
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/control", data)).close()

    def states(self) -> list[str]:
        return [batch["status"] for batch in self.told()["batches"]]


Serve = Callable[..., Server]


def batch_servers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """For a fixture: start a server with options; looks at its batches follow each other at once."""
    monkeypatch.setattr("nsad_cli.collection.batch_collect.FIRST_POLL_SECONDS", 0.01)
    monkeypatch.setattr("nsad_cli.collection.batch_collect.MAX_POLL_SECONDS", 0.05)
    started: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> Server:
        port = folder / f"port{len(started)}"
        command = [sys.executable, "-m", "tests.helpers.batch_server", str(port), *options]
        started.append(subprocess.Popen(command))
        while not port.exists():
            time.sleep(0.02)
        return Server(f"http://127.0.0.1:{port.read_text()}")

    yield start
    for process in started:
        process.kill()
        process.wait()


def teacher(url: str, **more: object) -> OpenAITeacher:
    """A teacher that asks the server at `url` by batches."""
    settings = {"base_url": [f"{url}/v1"], "prompt": "{question}", "batch": True, "max_tokens": 20, **more}
    made = make_teacher("m", TeacherConfig.model_validate(settings))
    assert isinstance(made, OpenAITeacher)
    return made
