"""Teachers that run on this machine: a transformers model (hf:PATH), or one that vLLM runs (see `teachers.vllm`)."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsad_cli.config.prompts import demonstrations_key, wrap_questions
from nsad_cli.errors import NsadError, first_line
from nsad_cli.teachers.base import max_in_flight
from nsad_cli.types import Draw, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nsad_cli.config.schema import TeacherConfig
    from nsad_cli.models.student import Student
    from nsad_cli.teachers.base import Request


class LocalTeacher:
    """What the local teachers share: name, parameters, and prompt."""

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
        """Return None: any problem is answered."""
        return None

    def question(self, problem: Problem) -> str:
        """Insert a problem into the prompt of the settings."""
        return self.settings.prompt.replace("{question}", problem.question)

    @contextlib.contextmanager
    def load_errors(self) -> Iterator[None]:
        """Turn errors while the model is loaded into an NsadError with the teacher's flags instead of a student's."""
        try:
            yield
        except (NsadError, OSError, ValueError, KeyError, RuntimeError) as error:
            raise NsadError(
                f"cannot load the teacher `{self.scheme}:{self.path}` (device: {self.settings.device})",
                error.why if isinstance(error, NsadError) else first_line(error),
                "give smollm2, a folder with config.json, tokenizer and safetensors weights, or a Hub id;"
                " --set teacher.device=cpu if the device is the problem",
            ) from error


def with_teacher_prompt(model: Student, settings: TeacherConfig) -> Student:
    """Set a model's prompt format: its chat template if it has one, else a student's plain prompt."""
    template = "chat" if model.tokenizer.chat_template else model.template
    return replace(model, template=template, demonstrations=wrap_questions(settings.demonstrations, settings.prompt))


class HfTeacher(LocalTeacher):
    """Samples with the transformers engine; the seed of a draw is derived from its problem and number."""

    scheme = "hf"

    def draw(
        self,
        requests: Iterable[Request],
        on_draws: Callable[[list[Draw]], None],
        on_failure: Callable[[Problem, str], None],
    ) -> None:
        """Answer requests; see Teacher.draw.

        Raises:
            NsadError: The model cannot be loaded.
        """
        from nsad_cli.generation.hf import HFSampler
        from nsad_cli.generation.sampler import Sampling, Task, require_context
        from nsad_cli.models.student import load_student

        with self.load_errors():
            model = with_teacher_prompt(load_student(self.path, device=self.settings.device), self.settings)
            sampler = HFSampler(model, None, None)
        sampling = Sampling(self.settings.temperature, self.settings.top_p, self.settings.max_tokens)
        prompt_tokens: dict[str, int] = {}

        def tasks() -> Iterator[Task]:
            for request in requests:
                task = Task(request.problem.id, self.question(request.problem), request.indices)
                prompt = model.prompt_ids(task.question)
                try:
                    require_context(model, prompt)
                except NsadError as error:
                    on_failure(request.problem, str(error))
                    continue
                prompt_tokens[task.problem_id] = len(prompt)
                yield task

        limit = max_in_flight(requests)
        for chain in sampler.stream(tasks(), sampling, seed=f"teacher:{self.name}", max_in_flight=limit):
            on_draws(
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
