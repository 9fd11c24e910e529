"""A teacher that runs here: a transformers model (hf:PATH), or vLLM (vllm:PATH, see teachers/vllm.py)."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.config.prompts import demonstrations_key, wrap_questions
from nsad_cli.errors import NsadError, first_line
from nsad_cli.types import Draw, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nsad_cli.config.schema import TeacherConfig
    from nsad_cli.models.student import Student
    from nsad_cli.teachers.base import Request


class LocalTeacher:
    """What both share: name, parameters, and how a problem is put to the model."""

    scheme: str

    def __init__(self, path: str, settings: TeacherConfig) -> None:
        self.path, self.settings = path, settings
        self.name = Path(path).name or path
        self.params: dict[str, Any] = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
            "prompt": settings.prompt,
            **demonstrations_key(settings),
            "engine": type(self).__name__,
            "model": str(Path(path).resolve()) if Path(path).exists() else path,
        }

    def problems(self) -> list[Problem] | None:
        """None: any problem may be asked."""
        return None

    def question(self, problem: Problem) -> str:
        """The problem in the prompt of the settings."""
        return self.settings.prompt.replace("{question}", problem.question)

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """Tell what keeps the model from loading as a teacher's trouble; a student has other flags."""
        try:
            yield
        except (NsadError, OSError, ValueError, KeyError, RuntimeError) as error:
            raise NsadError(
                f"cannot load the teacher `{self.scheme}:{self.path}` (device: {self.settings.device})",
                error.why if isinstance(error, NsadError) else first_line(error),
                "give smollm2, a folder with config.json, tokenizer and safetensors weights, or a Hub id;"
                " --set teacher.device=cpu where the device is the trouble",
            ) from error


def as_teacher(model: Student, settings: TeacherConfig) -> Student:
    """A model that is asked through its chat template where it has one, else by a student's plain prompt."""
    template = "chat" if model.tokenizer.chat_template else model.template
    return replace(model, template=template, demonstrations=wrap_questions(settings.demonstrations, settings.prompt))


class HfTeacher(LocalTeacher):
    """Samples with the transformers engine, each draw seeded by (problem, index)."""

    scheme = "hf"

    def draw(
        self, requests: Iterable[Request], keep: Callable[[list[Draw]], None], fail: Callable[[Problem, str], None]
    ) -> None:
        """See Teacher.draw.

        Raises NsadError where the model cannot be loaded.
        """
        from nsad_cli.generation.hf import HFSampler
        from nsad_cli.generation.sampler import Sampling, Task
        from nsad_cli.models.student import load_student

        with self.loading():
            model = as_teacher(load_student(self.path, device=self.settings.device), self.settings)
            sampler = HFSampler(model, None, None)
        sampling = Sampling(self.settings.temperature, self.settings.top_p, self.settings.max_tokens)
        tasks = [Task(request.problem.id, self.question(request.problem), request.indices) for request in requests]
        prompt_tokens = {task.problem_id: len(model.prompt_ids(task.question)) for task in tasks}
        for chain in sampler.sample(tasks, sampling, seed=f"teacher:{self.name}"):
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
