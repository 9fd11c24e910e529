"""A teacher that runs here: a transformers model (hf:PATH), or vLLM (vllm:PATH)."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from nsad_cli import prompts
from nsad_cli.config import TeacherConfig
from nsad_cli.errors import NsadError
from nsad_cli.teachers.base import Request, Teacher
from nsad_cli.types import Draw, Finish, Problem


def local_teacher(scheme: str, path: str, settings: TeacherConfig) -> Teacher:
    """Make the teacher.

    Raises NsadError where vLLM is asked for and not installed.
    """
    if scheme == "vllm" and importlib.util.find_spec("vllm") is None:
        raise NsadError(
            "the teacher needs vLLM",
            "the package vllm is not installed",
            "pip install 'nsad[vllm]', or use hf:PATH, or a server with --base-url",
        )
    return (VllmTeacher if scheme == "vllm" else HfTeacher)(path, settings)


class _LocalTeacher:
    """What both share: name, parameters and prompt."""

    def __init__(self, path: str, settings: TeacherConfig) -> None:
        self.path, self.settings = path, settings
        self.name = Path(path).name or path
        self.params: dict[str, Any] = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
            "prompt": settings.prompt,
            **prompts.shown(settings),
            "engine": type(self).__name__,
            "model": str(Path(path).resolve()) if Path(path).exists() else path,
        }

    def problems(self) -> list[Problem] | None:
        """None: any problem may be asked."""
        return None


class HfTeacher(_LocalTeacher):
    """Samples with the transformers engine, each draw seeded by (problem, index)."""

    def draw(
        self, requests: Iterable[Request], keep: Callable[[list[Draw]], None], fail: Callable[[Problem, str], None]
    ) -> None:
        """See Teacher.draw.

        Raises NsadError where the model cannot be loaded.
        """
        from nsad_cli.generation.hf import HFSampler
        from nsad_cli.generation.sampler import Sampling, Task
        from nsad_cli.students import load_student

        student = load_student(self.path, device=self.settings.device)
        student = replace(
            student,
            template="chat" if student.tokenizer.chat_template else student.template,
            demonstrations=prompts.filled(self.settings.demonstrations, self.settings.prompt),
        )
        sampling = Sampling(self.settings.temperature, self.settings.top_p, self.settings.max_tokens)
        tasks = [
            Task(
                request.problem.id,
                self.settings.prompt.replace("{question}", request.problem.question),
                request.indices,
            )
            for request in requests
        ]
        prompt_tokens = {task.problem_id: len(student.prompt_ids(task.question)) for task in tasks}
        for chain in HFSampler(student, None, None).sample(tasks, sampling, seed=f"teacher:{self.name}"):
            keep(
                [
                    Draw(
                        chain.problem_id,
                        self.name,
                        chain.index,
                        chain.text,
                        chain.finish,
                        prompt_tokens[chain.problem_id],
                        len(chain.logprobs),
                    )
                ]
            )


class VllmTeacher(_LocalTeacher):
    """Samples with vLLM in this process, each draw seeded by (problem, index)."""

    def draw(
        self, requests: Iterable[Request], keep: Callable[[list[Draw]], None], fail: Callable[[Problem, str], None]
    ) -> None:
        """See Teacher.draw; vLLM batches by itself, chunks of problems let draws arrive on the way."""
        from vllm import LLM, SamplingParams

        engine = LLM(model=self.path)
        settings = self.settings
        wanted = [(request.problem, index) for request in requests for index in request.indices]
        for start in range(0, len(wanted), 256):
            part = wanted[start : start + 256]
            messages = [
                prompts.turns(settings.demonstrations, settings.prompt, problem.question) for problem, _ in part
            ]
            params = [
                SamplingParams(
                    temperature=settings.temperature,
                    top_p=settings.top_p,
                    max_tokens=settings.max_tokens,
                    seed=_seed(problem.id, index),
                )
                for problem, index in part
            ]
            for (problem, index), reply in zip(part, engine.chat(messages, params), strict=True):
                output = reply.outputs[0]
                finish = Finish.LENGTH if output.finish_reason == "length" else Finish.STOP
                keep(
                    [
                        Draw(
                            problem.id,
                            self.name,
                            index,
                            output.text,
                            finish,
                            len(reply.prompt_token_ids or []),
                            len(output.token_ids),
                        )
                    ]
                )


def _seed(problem: str, index: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{problem}:{index}".encode()).digest()[:4], "big")
