"""A teacher that vLLM runs on this machine: vllm:PATH; vLLM has a process of its own (generation/vllm_process.py)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from nsad_cli.teachers.local import LocalTeacher, as_teacher
from nsad_cli.types import Draw, Finish, Problem
from nsad_cli.utils.hashing import seed_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nsad_cli.generation.vllm_process import GenerationRequest
    from nsad_cli.models.student import Student
    from nsad_cli.teachers.base import Request

FINISHES = {"stop": Finish.STOP, "length": Finish.LENGTH}


class VllmTeacher(LocalTeacher):
    """Samples with vLLM, each draw seeded by (problem, index)."""

    scheme = "vllm"

    def draw(
        self, requests: Iterable[Request], keep: Callable[[list[Draw]], None], fail: Callable[[Problem, str], None]
    ) -> None:
        """See Teacher.draw.

        Raises NsadError where the model cannot be loaded, vLLM is built for another device, or it dies.
        """
        from nsad_cli.generation.vllm_process import GenerationRequest, ModelSettings, VllmProcess
        from nsad_cli.models.student import resolve

        requests = list(requests)
        with self.loading():
            source, revision = resolve(self.path)
            model = self.reader(source, revision)
            prompts = {item.problem.id: model.prompt_ids(self.question(item.problem)) for item in requests}
        sampling = {key: self.params[key] for key in ("temperature", "top_p", "max_tokens")}
        sampling["stop"] = model.stop_texts or None
        asked: dict[str, tuple[Problem, int]] = {}

        def drafts() -> Iterator[GenerationRequest]:
            for request in requests:
                problem = request.problem
                for index in request.indices:
                    key = f"{problem.id}:{index}"
                    asked[key] = (problem, index)
                    yield GenerationRequest(
                        key, prompts[problem.id], {**sampling, "seed": seed_of(problem.id, index, bits=32)}
                    )

        with contextlib.closing(VllmProcess()) as engine:
            what = f"the teacher `vllm:{self.path}`"
            engine.start(ModelSettings(source, revision, self.settings.device), what, "use hf:PATH")
            for reply in engine.draw(drafts()):
                problem, index = asked.pop(reply["key"])
                finish = FINISHES.get(reply.get("finish", ""))
                if finish is None:
                    fail(problem, reply.get("error") or f"vLLM gave it up ({reply.get('finish')})")
                    continue
                text = reply["text"].rstrip() if model.stop_texts else reply["text"]
                used = len(prompts[problem.id]), len(reply["tokens"])
                keep([Draw(problem.id, self.name, index, text, finish, *used)])

    def reader(self, source: str, revision: str | None) -> Student:
        """The model without its weights: what makes the same prompts as for the transformers engine."""
        from transformers import AutoTokenizer

        from nsad_cli.models.student import Student

        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
        return as_teacher(Student(None, tokenizer, self.path), self.settings)
