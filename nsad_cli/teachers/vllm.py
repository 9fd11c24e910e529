"""A teacher that vLLM runs on this machine: vllm:PATH.

vLLM has a process of its own (teachers/vllm_engine.py): what it prints reaches no stdout, Ctrl-C reaches it through us
alone, and when we end, however we do, so do it and all that it has started. Its own VLLM_… variables hold.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError
from nsad_cli.teachers.base import Request
from nsad_cli.teachers.local import LocalTeacher, as_teacher
from nsad_cli.types import Draw, Finish, Problem

if TYPE_CHECKING:
    from nsad_cli.students import Student

IN_FLIGHT = 512
"""Draws that vLLM has at once: more than it decodes together, so that it never waits for us."""
FINISHES = {"stop": Finish.STOP, "length": Finish.LENGTH}
QUIET = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "PYTHONWARNINGS": "ignore",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
"""What vLLM tells of itself is for those who ask: a variable that is set already stays."""
PATIENCE = 30.0
"""Seconds that its processes may take to end."""


class VllmTeacher(LocalTeacher):
    """Samples with vLLM, each draw seeded by (problem, index)."""

    scheme = "vllm"

    def draw(
        self, requests: Iterable[Request], keep: Callable[[list[Draw]], None], fail: Callable[[Problem, str], None]
    ) -> None:
        """See Teacher.draw.

        Raises NsadError where the model cannot be loaded, vLLM is built for another device, or it dies.
        """
        from nsad_cli.students import resolve

        requests = list(requests)
        with self.loading():
            source, revision = resolve(self.path)
            model = self.reader(source, revision)
            prompts = {item.problem.id: model.prompt_ids(self.question(item.problem)) for item in requests}
        asked: dict[str, tuple[Problem, int]] = {}

        def take() -> None:
            reply = engine.receive()
            problem, index = asked.pop(reply["key"])
            finish = FINISHES.get(reply.get("finish", ""))
            if finish is None:
                fail(problem, reply.get("error") or f"vLLM gave it up ({reply.get('finish')})")
            else:
                text = reply["text"].rstrip() if model.stop_texts else reply["text"]
                keep([Draw(problem.id, self.name, index, text, finish, len(prompts[problem.id]), reply["tokens"])])

        with self._engine(source, revision, model.stop_texts) as engine:
            for request in requests:
                problem = request.problem
                for index in request.indices:
                    key = f"{problem.id}:{index}"
                    engine.send({"key": key, "prompt": prompts[problem.id], "seed": seed_of(problem.id, index)})
                    asked[key] = (problem, index)
                    while len(asked) >= IN_FLIGHT:
                        take()
            while asked:
                take()

    def reader(self, source: str, revision: str | None) -> Student:
        """The model without its weights: what makes the same prompts as for the transformers engine."""
        from transformers import AutoTokenizer

        from nsad_cli.students import Student

        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
        return as_teacher(Student(None, tokenizer, self.path), self.settings)

    @contextlib.contextmanager
    def _engine(self, source: str, revision: str | None, stops: tuple[str, ...]) -> Iterator[_Engine]:
        """An engine that has loaded the model; it is gone afterwards, with its memory."""
        sampling = {key: self.params[key] for key in ("temperature", "top_p", "max_tokens")} | {"stop": stops or None}
        engine = _Engine()
        try:
            device = self.settings.device
            engine.send({"model": source, "revision": revision, "device": device, "sampling": sampling})
            ready = engine.receive()
            if "error" in ready:
                raise NsadError(
                    f"vLLM cannot start with the teacher `vllm:{self.path}`",
                    ready["error"],
                    "read its own lines above (VLLM_LOGGING_LEVEL=INFO for more of them), or use hf:PATH",
                )
            yield engine
        finally:
            engine.end()


def seed_of(problem: str, index: int) -> int:
    """The seed of one draw, 32 bits."""
    return int.from_bytes(hashlib.sha256(f"{problem}:{index}".encode()).digest()[:4], "big")


class _Engine:
    """The process that runs vLLM; it speaks JSON lines."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "nsad_cli.teachers.vllm_engine"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**QUIET, **os.environ},
            text=True,
            start_new_session=True,
        )
        assert self._process.stdin and self._process.stdout
        self._input, self._output = self._process.stdin, self._process.stdout

    def send(self, value: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # an engine that died is noticed when it is read
            self._input.write(json.dumps(value) + "\n")
            self._input.flush()

    def receive(self) -> dict[str, Any]:
        line = self._output.readline()
        if not line.endswith("\n"):
            raise NsadError(
                "vLLM died",
                f"its process ended with {self._process.wait()}",
                "read its own lines above; draws that arrived are kept: run the same command again",
            )
        reply: dict[str, Any] = json.loads(line)
        return reply

    def end(self) -> None:
        """Let it end by itself, then make sure; its processes form one group."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._output.close()
