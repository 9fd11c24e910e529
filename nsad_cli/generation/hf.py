"""The transformers engine: continuous batching of the chains of many problems."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import DynamicCache

from nsad_cli.errors import NsadError
from nsad_cli.generation.chain_record import Ending, ends_with_stop_text, make_chain
from nsad_cli.generation.kv_cache import Prompt, Slots, cache_argument, prompts_of
from nsad_cli.generation.sampler import Sampling, Task, require_context
from nsad_cli.generation.token_sampling import sample_tokens
from nsad_cli.models.device_memory import memory_errors
from nsad_cli.models.packed_weights import PackedLayers
from nsad_cli.models.packing import enable_packing, step_attention
from nsad_cli.utils.hashing import seed_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nsad_cli.generation.live_requests import LiveRequests
    from nsad_cli.models.nat.adapters import Adapters
    from nsad_cli.models.student import Student
    from nsad_cli.types import Chain

ATTENTION_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}
WINDOW = 8
"""The number of batches scheduled together: rows are admitted freely within a window, and a resumed run repeats whole
windows. Longer windows are faster, because fewer steps run at their end with a partly empty batch."""
ADMIT_FRACTION = 8
"""Rows are admitted when at least 1/ADMIT_FRACTION of the batch is free, since rearranging the cache is expensive."""
SHRINK_FRACTION = 0.75
"""If no rows are waiting, finished rows are removed when at most this fraction of the batch is active."""


@dataclass
class _ChainState:
    """The state of one chain during generation."""

    task: Task
    index: int
    seed: int
    sampling: Sampling
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    done: bool = False
    cut: bool = False
    """Whether it stopped at a stop text rather than a stop token."""
    full: bool = False
    """Whether it reached the limit on new tokens or the model's context."""
    random: torch.Generator = field(init=False)
    """Set when the row is admitted."""
    states: Tensor | None = None
    """The sum of the hidden states that its tokens were predicted from [d], if features are requested."""


class HFSampler:
    """Samples from a student through one of its adapters (None: the bare base)."""

    plans_batches = True

    def __init__(self, student: Student, adapters: Adapters | None, name: str | None, batch_size: int = 32) -> None:
        self.student, self.adapters, self.name, self.batch_size = student, adapters, name, batch_size
        config = student.model.config.get_text_config()
        unsupported = set(getattr(config, "layer_types", None) or ()) - ATTENTION_LAYERS
        if unsupported:
            raise NsadError(
                f"cannot sample from the student `{student.spec}`",
                f"its layers of type {', '.join(sorted(unsupported))} have a state other than keys and values",
                "use a student that has only attention layers",
            )
        enable_packing(student.model)  # faster attention if the model supports it
        self._packed: PackedLayers | None = None

    def sample(
        self,
        tasks: Sequence[Task],
        sampling: Sampling,
        *,
        seed: str,
        on_tokens: Callable[[int], None] = lambda _: None,
        on_features: Callable[[str, int, Tensor], None] | None = None,
    ) -> Iterator[Chain]:
        """See Sampler.sample; problems of similar prompt length share a batch.

        Args:
            tasks: The requested chains.
            sampling: The sampling parameters.
            seed: The seed.
            on_tokens: See Sampler.sample.
            on_features: A callback (problem, index, features), called just before that chain is yielded. The features
                are the mean over the chain's tokens of the last hidden state that predicted each; [d] in float32, on
                the CPU.

        Yields:
            The chains, as they finish.
        """
        prompts = {task.problem_id: self.student.prompt_ids(task.question) for task in tasks}
        require_context(self.student, max(prompts.values(), key=len, default=[]))
        ordered = sorted(tasks, key=lambda task: (len(prompts[task.problem_id]), task.problem_id))
        rows = [state for task in ordered for state in _states_of(task, sampling, seed)]
        for start in range(0, len(rows), WINDOW * self.batch_size):
            window = rows[start : start + WINDOW * self.batch_size]
            if not all(row.task.cached for row in window):
                for row in _Batch(self, prompts, on_features is not None).write(window, on_tokens):
                    yield self._finished(row, on_features)

    def sample_live(
        self, requests: LiveRequests, on_features: Callable[[str, int, Tensor], None] | None = None
    ) -> Iterator[Chain]:
        """Yield the chains of requests that arrive while others are sampled, until the queue is closed and empty.

        All share one batch of `batch_size` rows. A chain is that of `sample`, up to the rounding of batches.

        Args:
            requests: The queue.
            on_features: See `sample`.
        """
        for row in _Batch(self, {}, on_features is not None).write([], lambda _: None, requests=requests):
            yield self._finished(row, on_features)

    def _finished(self, row: _ChainState, on_features: Callable[[str, int, Tensor], None] | None) -> Chain:
        if on_features is not None and row.states is not None:
            on_features(row.task.problem_id, row.index, (row.states / len(row.tokens)).cpu())
        return self._chain(row)

    def stream(
        self, tasks: Iterator[Task], sampling: Sampling, *, seed: str, max_in_flight: Callable[[], int]
    ) -> Iterator[Chain]:
        """Yield chains as they finish; a task is taken only when the batch has room for its first chain.

        Unlike `sample`, this keeps the batch full until the last task, and takes the tasks in their order.

        Args:
            tasks: The requested chains, whose prompts fit into the model's context.
            sampling: The sampling parameters.
            seed: The seed.
            max_in_flight: Returns how many chains may be in flight, if it is less than a batch.
        """
        prompts: dict[str, list[int]] = {}

        def take(in_flight: int) -> list[_ChainState]:
            rows: list[_ChainState] = []
            limit = min(self.batch_size, max(1, max_in_flight()))
            while in_flight + len(rows) < limit and (task := next(tasks, None)) is not None:
                prompts[task.problem_id] = self.student.prompt_ids(task.question)
                rows += _states_of(task, sampling, seed)
            return rows

        for row in _Batch(self, prompts, with_states=False).write((), lambda _: None, take):
            yield self._chain(row)

    @property
    def model(self) -> Any:
        """The student's model, with its adapters if there are any."""
        return self.adapters.model if self.adapters is not None else self.student.model

    def packed_layers(self) -> PackedLayers:
        """Return the packed weights of frozen layers; they are made at the first chain and freed with the sampler."""
        if self._packed is None or not self._packed.current():
            self._packed = PackedLayers(self.model)
        return self._packed

    def _active_adapter(self) -> Any:
        return self.adapters.use(self.name) if self.adapters is not None else contextlib.nullcontext()

    def _chain(self, row: _ChainState) -> Chain:
        ending = Ending.CUT if row.cut else Ending.TOKEN if row.done and not row.full else Ending.ROOM
        return make_chain(self.student, row.task.problem_id, row.index, row.tokens, row.logprobs, ending)


class _Batch:
    """The active rows and their cache."""

    def __init__(self, sampler: HFSampler, prompts: dict[str, list[int]], with_states: bool) -> None:
        self.sampler, self.prompts, self.with_states = sampler, prompts, with_states
        self.model, self.packed = sampler.model, sampler.packed_layers()
        self.cache_argument = cache_argument(self.model)
        self.rows: list[_ChainState] = []
        self.slots = Slots()
        self.prefilled: dict[str, Prompt] = {}
        """Prefilled prompts that further chains are waiting for."""
        self.sums = torch.empty(0)
        """Each row's sum of hidden states [B,d] in float32."""

    def write(
        self,
        rows: Sequence[_ChainState],
        on_tokens: Callable[[int], None],
        take: Callable[[int], Sequence[_ChainState]] = lambda _: (),
        requests: LiveRequests | None = None,
    ) -> Iterator[_ChainState]:
        """Generate all rows, admitted in order, and yield each when it is done.

        Args:
            rows: The first rows.
            on_tokens: See Sampler.sample.
            take: Called when rows can be admitted, with the number of those in flight; returns further rows.
            requests: Further rows as they are requested; they are waited for until the queue is closed.
        """
        waiting = deque(rows)
        self.model.eval()
        while True:
            if requests is not None:
                self._update(waiting, requests)
            active = [i for i, row in enumerate(self.rows) if not row.done]
            free = self.sampler.batch_size - len(active)
            room = free * ADMIT_FRACTION >= self.sampler.batch_size or not active
            if room:
                waiting.extend(take(len(active) + len(waiting)))
            if not waiting and not active:
                if requests is None or requests.closed:
                    return
                continue
            admit = bool(waiting) and room
            new = [waiting.popleft() for _ in range(min(free, len(waiting)))] if admit else []
            memory = memory_errors("sampling", "sampling.batch_size", self.sampler.batch_size)
            # Both are activated for one step only: the caller may run other models between chains.
            adapter, packed = self.sampler._active_adapter(), self.packed.in_use()
            with torch.inference_mode(), memory, adapter, packed, self._states() as states:
                if new:
                    self._admit(active, new, states)
                    logits = torch.stack([self.prefilled[row.task.problem_id].logits for row in new])
                else:
                    if self.slots.full or (not waiting and len(active) <= SHRINK_FRACTION * len(self.rows)):
                        self._rearrange(active, [])
                    logits = self._step(states)
                stepped = new or self.rows
                chosen, logprobs = _sample(logits, stepped)
            on_tokens(sum(not row.done for row in stepped))
            yield from self._append_tokens(chosen, logprobs)
            needed = {row.task.problem_id for row in waiting} if new else self.prefilled.keys()
            self.prefilled = {problem: prompt for problem, prompt in self.prefilled.items() if problem in needed}

    def _remains(self, waiting: deque[_ChainState]) -> bool:
        """Return whether any row is left to generate."""
        return bool(waiting) or not all(row.done for row in self.rows)

    def _update(self, waiting: deque[_ChainState], requests: LiveRequests) -> None:
        """Add the rows of new requests and drop those of cancelled ones; wait for requests if no row is left."""
        arrived, cancelled = requests.take(wait=not self._remains(waiting))
        if cancelled:
            kept = [row for row in waiting if row.task.problem_id not in cancelled]
            waiting.clear()
            waiting.extend(kept)
            for i, row in enumerate(self.rows):
                if row.task.problem_id in cancelled and not row.done:
                    row.done = True
                    self.slots.retire(i)
        if arrived:
            used = {row.task.problem_id for row in (*self.rows, *waiting)}
            self.prompts = {key: prompt for key, prompt in self.prompts.items() if key in used}
        for request in arrived:
            self.prompts[request.task.problem_id] = request.prompt
            waiting.extend(_states_of(request.task, request.sampling, request.seed))

    @contextlib.contextmanager
    def _states(self) -> Iterator[list[Tensor]]:
        """Collect the last hidden states [B,T,d], the inputs of the LM head, if features are requested."""
        collected: list[Tensor] = []
        if not self.with_states:
            yield collected
            return
        head = self.model.get_output_embeddings()
        hook = head.register_forward_pre_hook(lambda _, inputs: collected.append(inputs[0]))
        try:
            yield collected
        finally:
            hook.remove()

    def _admit(self, active: list[int], new: list[_ChainState], states: list[Tensor]) -> None:
        """Admit new rows, after prefilling those of their prompts that are not prefilled yet in one batch."""
        ids = list(dict.fromkeys(row.task.problem_id for row in new if row.task.problem_id not in self.prefilled))
        if ids:
            self.prefilled |= dict(
                zip(ids, self._prefill([self.prompts[problem] for problem in ids], states), strict=True)
            )
        for row in new:
            row.random = torch.Generator().manual_seed(row.seed)
        self._rearrange(active, new)

    def _rearrange(self, active: list[int], new: list[_ChainState]) -> None:
        """Remove finished rows and append new ones."""
        prompts = [self.prefilled[row.task.problem_id] for row in new]
        self.slots.arrange(active, prompts)
        if self.with_states:
            first = [torch.stack([prompt.state for prompt in prompts])] if prompts else []
            self.sums = torch.cat([*([self.sums[active]] if active else []), *first])
        self.rows = [self.rows[i] for i in active] + new

    def _prefill(self, prompts: Sequence[Sequence[int]], states: list[Tensor]) -> list[Prompt]:
        width = max(map(len, prompts))
        inputs = torch.full((len(prompts), width), self.sampler.student.pad_id)
        mask = torch.zeros_like(inputs)
        for i, prompt in enumerate(prompts):
            inputs[i, width - len(prompt) :] = torch.tensor(prompt)
            mask[i, width - len(prompt) :] = 1
        inputs, mask = inputs.to(self.model.device), mask.to(self.model.device)
        cache = DynamicCache()
        # A number instead of an index would leave a view, for which the vocabulary head's weights are copied per row.
        last_column = torch.tensor([width - 1], device=inputs.device)
        output = self.model(
            input_ids=inputs,
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            use_cache=True,
            logits_to_keep=last_column,
            **{self.cache_argument: cache},
        )
        logits = output.logits[:, -1]
        last = states[-1][:, -1].float() if self.with_states else logits[:, :0]
        return prompts_of(cache, [len(prompt) for prompt in prompts], logits, last)

    def _step(self, states: list[Tensor]) -> Tensor:
        """Compute the logits of every row's next token; finished rows repeat their last token, to no effect."""
        places = [[len(self.prompts[row.task.problem_id]) + len(row.tokens) - 1] for row in self.rows]
        inputs, positions = torch.tensor([[[row.tokens[-1]] for row in self.rows], places]).to(self.model.device)
        with step_attention(self.slots.spans()):
            logits: Tensor = self.model(
                input_ids=inputs,
                attention_mask=self.slots.mask(),
                position_ids=positions,
                use_cache=True,
                **{self.cache_argument: self.slots.cache},
            ).logits
        self.slots.end += 1
        if self.with_states:
            self.sums += states[-1][:, -1].float()
        return logits[:, -1]

    def _append_tokens(self, chosen: list[int], logprobs: list[float]) -> Iterator[_ChainState]:
        """Append a token to each of the last rows, and yield the rows that it finishes."""
        offset = len(self.rows) - len(chosen)
        student = self.sampler.student
        context = student.context or math.inf
        for i, (token, logprob) in enumerate(zip(chosen, logprobs, strict=True), offset):
            row = self.rows[i]
            if row.done:
                continue
            row.tokens.append(token)
            row.logprobs.append(logprob)
            row.cut = ends_with_stop_text(student, row.tokens)
            ends = row.cut or token in student.stop_ids
            length = len(self.prompts[row.task.problem_id]) + len(row.tokens)
            row.full = not ends and (length >= context or len(row.tokens) >= row.sampling.max_new_tokens)
            if ends or row.full:
                row.done = True
                row.states = self.sums[i].clone() if self.with_states else None
                self.slots.retire(i)
                yield row


def _states_of(task: Task, sampling: Sampling, seed: str) -> list[_ChainState]:
    return [_ChainState(task, index, seed_of(seed, task.seed_id, index, bits=63), sampling) for index in task.indices]


def _sample(logits: Tensor, rows: Sequence[_ChainState]) -> tuple[list[int], list[float]]:
    """Sample a token for each row [B,V] with the row's own parameters; see sample_tokens."""
    tokens, logprobs = [0] * len(rows), [0.0] * len(rows)
    for sampling in dict.fromkeys(row.sampling for row in rows):
        places = [i for i, row in enumerate(rows) if row.sampling == sampling]
        own = logits if len(places) == len(rows) else logits[places]
        found = sample_tokens(own, [rows[i].random for i in places], sampling)
        for i, token, logprob in zip(places, *found, strict=True):
            tokens[i], logprobs[i] = token, logprob
    return tokens, logprobs
