"""A teacher that vLLM runs on this machine (vllm:PATH), in a process of its own (see `generation.vllm_process`)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from nsad_cli.teachers.base import max_in_flight
from nsad_cli.teachers.local import LocalTeacher, with_teacher_prompt
from nsad_cli.types import Draw, Finish, Problem
from nsad_cli.utils.hashing import seed_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nsad_cli.generation.vllm_process import GenerationRequest
    from nsad_cli.models.student import Student
    from nsad_cli.teachers.base import Request

FINISHES = {"stop": Finish.STOP, "length": Finish.LENGTH}


class VllmTeacher(LocalTeacher):
    """Samples with vLLM; the seed of a draw is derived from its problem and number."""

    scheme = "vllm"

    def draw(
        self,
        requests: Iterable[Request],
        on_draws: Callable[[list[Draw]], None],
        on_failure: Callable[[Problem, str], None],
    ) -> None:
        """Answer requests; see Teacher.draw.

        Raises:
            NsadError: The model cannot be loaded, vLLM is built for another device, or its process ends.
        """
        from nsad_cli.generation.vllm_process import GenerationRequest, ModelSettings, VllmProcess
        from nsad_cli.models.student import resolve

        with self.load_errors():
            source, revision = resolve(self.path)
            model = self.prompt_model(source, revision)
        sampling = {key: self.params[key] for key in ("temperature", "top_p", "max_tokens")}
        sampling["stop"] = model.stop_texts or None
        in_flight: dict[str, tuple[Problem, int, int]] = {}
        """The problem, the number and the prompt's tokens of each draw in flight."""

        def drafts() -> Iterator[GenerationRequest]:
            for request in requests:
                problem = request.problem
                prompt = model.prompt_ids(self.question(problem))
                for index in request.indices:
                    key = f"{problem.id}:{index}"
                    in_flight[key] = (problem, index, len(prompt))
                    yield GenerationRequest(key, prompt, {**sampling, "seed": seed_of(problem.id, index, bits=32)})

        with contextlib.closing(VllmProcess()) as engine:
            what = f"the teacher `vllm:{self.path}`"
            engine.start(ModelSettings(source, revision, self.settings.device), what, "use hf:PATH")
            for reply in engine.draw(drafts(), max_in_flight(requests)):
                problem, index, prompt_tokens = in_flight.pop(reply["key"])
                finish = FINISHES.get(reply.get("finish", ""))
                if finish is None:
                    on_failure(problem, reply.get("error") or f"vLLM abandoned the request ({reply.get('finish')})")
                    continue
                text = reply["text"].rstrip() if model.stop_texts else reply["text"]
                usage = prompt_tokens, len(reply["tokens"])
                on_draws([Draw(problem.id, self.name, index, text, finish, *usage)])

    def prompt_model(self, source: str, revision: str | None) -> Student:
        """Make the model without weights, which formats the same prompts as the transformers engine."""
        from transformers import AutoTokenizer

        from nsad_cli.models.student import Student

        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
        return with_teacher_prompt(Student(None, tokenizer, self.path), self.settings)
