"""A teacher that vLLM runs on this machine: vllm:PATH. vLLM's own VLLM_… variables hold."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from nsad_cli.errors import NsadError, first_line
from nsad_cli.teachers.base import Request
from nsad_cli.teachers.local import LocalTeacher, as_teacher
from nsad_cli.types import Draw, Finish, Problem

IN_FLIGHT = 512
"""Draws that vLLM has at once: more than it decodes together, so that it never waits for us."""
FINISHES = {"stop": Finish.STOP, "length": Finish.LENGTH}
ON_CPU: dict[str, Any] = {
    "enforce_eager": True,  # compiling takes minutes at every start and gains little
    "enable_chunked_prefill": False,  # a seeded request whose prompt is cut in two kills the engine on CPUs
    "kv_cache_memory_bytes": 2 * 2**30,  # in place of nearly all memory; VLLM_CPU_KVCACHE_SPACE comes before it
}
QUIET = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "PYTHONWARNINGS": "ignore",  # for the processes that vLLM starts: how they end leaves some
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
"""What vLLM tells of itself is for those who ask: a variable that is set already stays."""


class VllmTeacher(LocalTeacher):
    """Samples with vLLM, each draw seeded by (problem, index)."""

    scheme = "vllm"

    def draw(
        self, requests: Iterable[Request], keep: Callable[[list[Draw]], None], fail: Callable[[Problem, str], None]
    ) -> None:
        """See Teacher.draw; a draw is kept at the step in which it ends.

        Raises NsadError where the model cannot be loaded, vLLM is built for another device, or it dies.
        """
        from nsad_cli.students import resolve

        requests = list(requests)
        with self.loading():
            source, revision = resolve(self.path)
            prompts = self.prompts(requests, source, revision)
        with self._engine(source, revision) as engine:
            from vllm.exceptions import VLLMClientError

            asked: dict[str, tuple[Problem, int]] = {}
            for request in requests:
                for index in request.indices:
                    key = f"{request.problem.id}:{index}"
                    prompt = {"prompt_token_ids": prompts[request.problem.id]}
                    try:
                        engine.add_request(key, prompt, self.sampling(key))
                    except (
                        ValueError,
                        VLLMClientError,
                    ) as error:  # a prompt longer than the model's context, and the like
                        fail(request.problem, first_line(error))
                        continue
                    asked[key] = (request.problem, index)
                    while len(asked) >= IN_FLIGHT:
                        self._take(engine, asked, keep, fail)
            while asked:
                self._take(engine, asked, keep, fail)

    def prompts(self, requests: Sequence[Request], source: str, revision: str | None) -> dict[str, list[int]]:
        """Each problem's prompt in tokens, the same that the transformers engine reads."""
        from transformers import AutoTokenizer

        from nsad_cli.students import Student

        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
        model = as_teacher(Student(None, tokenizer, self.path), self.settings)
        return {request.problem.id: model.prompt_ids(self.question(request.problem)) for request in requests}

    def sampling(self, key: str) -> Any:
        """vLLM's parameters of one draw; the key (problem and index) seeds it."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            temperature=self.settings.temperature,
            top_p=self.settings.top_p,
            max_tokens=self.settings.max_tokens,
            seed=int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big"),
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _take(
        self,
        engine: Any,
        asked: dict[str, tuple[Problem, int]],
        keep: Callable[[list[Draw]], None],
        fail: Callable[[Problem, str], None],
    ) -> None:
        """Let the engine decode one token of each running request, and keep what ended with it."""
        arrived = []
        for reply in engine.step():
            problem, index = asked.pop(reply.request_id)
            output = reply.outputs[0]
            finish = FINISHES.get(output.finish_reason)
            if finish is None:
                fail(problem, f"vLLM gave it up: {output.finish_reason}")
                continue
            tokens = len(reply.prompt_token_ids), len(output.token_ids)
            arrived.append(Draw(problem.id, self.name, index, output.text, finish, *tokens))
        if arrived:
            keep(arrived)

    @contextlib.contextmanager
    def _engine(self, source: str, revision: str | None) -> Iterator[Any]:
        """A running engine, whose processes are gone afterwards; nothing of it reaches stdout."""
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        with _stdout_into_stderr():
            engine = self._start(source, revision)
            from vllm.v1.engine.exceptions import EngineDeadError

            try:
                yield engine
            except EngineDeadError as error:
                raise NsadError(
                    "vLLM died",
                    first_line(error),
                    "read its own lines above; draws that arrived are kept: run the same command again",
                ) from error
            finally:
                engine.engine_core.shutdown()

    def _start(self, source: str, revision: str | None) -> Any:
        try:
            from vllm import LLM
            from vllm.platforms import current_platform

            has = current_platform.device_type
            if self.settings.device not in ("auto", has):
                raise ValueError(f"teacher.device is {self.settings.device}, this build of vLLM has {has or 'none'}")
            more = ON_CPU if has == "cpu" else {}
            llm = LLM(source, revision=revision, tokenizer_revision=revision, use_tqdm_on_load=False, **more)
        except Exception as error:  # vLLM and its parts raise what they like
            raise NsadError(
                f"vLLM cannot start with the teacher `vllm:{self.path}`",
                first_line(error),
                "read its own lines above (VLLM_LOGGING_LEVEL=INFO for more of them), or use hf:PATH",
            ) from error
        return llm.llm_engine


@contextlib.contextmanager
def _stdout_into_stderr() -> Iterator[None]:
    """Send what this process and those that it starts write to stdout to stderr: stdout is for results alone."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
