"""The vLLM engine: samples a student with vLLM, in a subprocess that lives as long as the sampler."""

from __future__ import annotations

import dataclasses
import itertools
import weakref
from typing import TYPE_CHECKING, Any

from nsad_cli.errors import NsadError
from nsad_cli.generation.chain_record import Ending, ends_with_stop_text, make_chain
from nsad_cli.generation.live_requests import LiveRequest
from nsad_cli.generation.sampler import Sampling, Task, require_context
from nsad_cli.generation.vllm_process import GenerationRequest, ModelSettings, VllmProcess
from nsad_cli.models.device_memory import free_share
from nsad_cli.utils.hashing import seed_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nsad_cli.models.student import Student
    from nsad_cli.types import Chain


class VllmSampler:
    """Samples a student with vLLM.

    vLLM starts with the first requested chain, and exits on `close`, with the sampler, or with this process.

    Args:
        student: The student's tokenizer, prompt and config; load it without weights.
        model: The model that vLLM loads: a base folder, with or without a LoRA, or an exported NAT folder.
    """

    plans_batches = False

    def __init__(self, student: Student, model: ModelSettings) -> None:
        self.student, self.model = student, model
        self._engine: VllmProcess | None = None
        self._keys = itertools.count()

    def sample(
        self,
        tasks: Sequence[Task],
        sampling: Sampling,
        *,
        seed: str,
        on_tokens: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Chain]:
        """See Sampler.sample; cached tasks are not sampled, and on_tokens is called once per chain, at its end.

        Raises:
            NsadError: vLLM cannot load the model, rejects a request, or died.
        """
        wanted: dict[str, tuple[Task, int]] = {}
        requests = []
        for task in tasks:
            if task.cached:
                continue
            prompt = self.student.prompt_ids(task.question)
            require_context(self.student, prompt)
            for index, request in zip(
                task.indices, self.requests(LiveRequest(task, prompt, sampling, seed)), strict=True
            ):
                wanted[request.key] = (task, index)
                requests.append(request)
        if not requests:
            return
        for reply in self.started().draw(requests):
            chain = self.chain(*wanted.pop(reply["key"]), reply)
            on_tokens(len(reply["tokens"]))
            yield chain

    def requests(self, request: LiveRequest) -> list[GenerationRequest]:
        """Return vLLM's request for each chain of a task, in the order of its indices."""
        settings, task = self._settings(len(request.prompt), request.sampling), request.task
        return [
            GenerationRequest(
                str(next(self._keys)),
                request.prompt,
                {**settings, "seed": seed_of(request.seed, task.seed_id, index, bits=32)},
            )
            for index in task.indices
        ]

    def chain(self, task: Task, index: int, reply: dict[str, Any]) -> Chain:
        """Return the chain of a reply.

        Raises:
            NsadError: vLLM rejected or aborted the request.
        """
        if reply.get("finish") not in ("stop", "length"):
            why = reply.get("error") or f"the request was aborted ({reply.get('finish')})"
            raise NsadError(f"vLLM cannot sample from {self._name}", why, "exclude that problem, or use --engine hf")
        return self._chain(task, index, reply)

    @property
    def _name(self) -> str:
        return f"the student `{self.student.spec}`"

    def _settings(self, prompt: int, sampling: Sampling) -> dict[str, Any]:
        """Build the SamplingParams: the student's stop tokens only, and untempered log-probabilities."""
        context, most = self.student.context, sampling.max_new_tokens
        return {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": most if context is None else min(most, context - prompt),
            "ignore_eos": True,
            "stop_token_ids": sorted(self.student.stop_ids),
            "stop": list(self.student.stop_texts) or None,
            "detokenize": bool(self.student.stop_texts),
            "logprobs": 0,
            "flat_logprobs": True,
        }

    def _chain(self, task: Task, index: int, reply: dict[str, Any]) -> Chain:
        tokens, logprobs = reply["tokens"], reply["logprobs"]
        if ends_with_stop_text(self.student, tokens):
            ending = Ending.CUT
        else:
            ending = Ending.TOKEN if tokens[-1] in self.student.stop_ids else Ending.ROOM
        return make_chain(self.student, task.problem_id, index, tokens, logprobs, ending)

    def started(self) -> VllmProcess:
        """Return the process of vLLM; the first call starts it and loads the model.

        Raises:
            NsadError: vLLM cannot load the model.
        """
        if self._engine is None:
            engine = VllmProcess()
            self._end = weakref.finalize(self, engine.close)
            try:
                model = dataclasses.replace(self.model, memory_share=free_share())
                engine.start(model, self._name, "use --engine hf")
            except BaseException:
                self._end()
                raise
            self._engine = engine
        return self._engine

    def close(self) -> None:
        """Stop vLLM and free its memory; sampling again starts it again."""
        if self._engine is not None:
            self._end()
            self._engine = None
