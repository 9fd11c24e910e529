"""The transformers engine: batches many problems' chains, retires finished ones, then takes the next wave."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from nsad_cli.errors import NsadError
from nsad_cli.generation.records import Ending, chain_of, has_run_on
from nsad_cli.generation.sampler import Sampling, Task
from nsad_cli.nat.adapters import Adapters
from nsad_cli.students import Student
from nsad_cli.types import Chain

ATTENTION_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}
SHRINK = 0.75
"""Finished rows leave the batch when this share of it or less is still writing: copying the cache costs too."""


@dataclass
class _Row:
    """One chain in the making."""

    task: Task
    index: int
    random: torch.Generator
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    done: bool = False
    cut: bool = False
    """Whether it is done for the text that it has come to, not for a token that ends it."""
    full: bool = False
    """Whether it is done for want of room: the model's context ends here."""


class HFSampler:
    """Samples with a student through one of its adapters (None: the bare base)."""

    def __init__(self, student: Student, adapters: Adapters | None, name: str | None, batch_size: int = 32) -> None:
        self.student, self.adapters, self.name, self.batch_size = student, adapters, name, batch_size
        config = student.model.config.get_text_config()
        strange = set(getattr(config, "layer_types", None) or ()) - ATTENTION_LAYERS
        if strange:
            raise NsadError(
                f"the student `{student.spec}` cannot be sampled from",
                f"its layers of the kind {', '.join(sorted(strange))} keep more than keys and values",
                "use a student whose layers are all attention",
            )

    def sample(
        self,
        tasks: Sequence[Task],
        sampling: Sampling,
        *,
        seed: str,
        on_tokens: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Chain]:
        """See Sampler.sample; batches hold problems of like prompt length, chains of one problem together."""
        prompts = {task.problem_id: self.student.prompt_ids(task.question) for task in tasks}
        self._need_room(max(prompts.values(), key=len, default=[]))
        ordered = sorted(tasks, key=lambda task: (len(prompts[task.problem_id]), task.problem_id))
        rows = [_Row(task, index, _generator(seed, task, index)) for task in ordered for index in task.indices]
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            if not all(row.task.kept for row in batch):
                yield from self._batch(batch, prompts, sampling, on_tokens)

    def _batch(
        self, rows: list[_Row], prompts: dict[str, list[int]], sampling: Sampling, on_tokens: Callable[[int], None]
    ) -> Iterator[Chain]:
        model = self.adapters.model if self.adapters is not None else self.student.model
        model.eval()
        live = list(rows)
        cache: Any = None
        state: dict[str, Tensor] = {}
        room = self.student.context or math.inf
        for _ in range(sampling.max_new_tokens):
            # The lock on the adapter is taken for each step alone: the caller may run other models between chains.
            with torch.inference_mode(), self._through():
                if cache is None:
                    logits, cache, state = self._prefill(model, live, prompts)
                else:
                    logits = self._step(model, live, cache, state)
                chosen, logprobs = _choose(logits, live, sampling)
            on_tokens(sum(not row.done for row in live))
            finished = []
            for row, token, logprob in zip(live, chosen, logprobs, strict=True):
                if row.done:
                    continue
                row.tokens.append(token)
                row.logprobs.append(logprob)
                row.cut = has_run_on(self.student, row.tokens)
                ends = row.cut or token in self.student.stop_ids
                row.full = not ends and len(prompts[row.task.problem_id]) + len(row.tokens) >= room
                if ends or row.full:
                    row.done = True
                    finished.append(row)
            yield from map(self._chain, finished)
            writing = [i for i, row in enumerate(live) if not row.done]
            if not writing:
                return
            if len(writing) <= SHRINK * len(live):
                live = [live[i] for i in writing]
                _shrink(cache, state, torch.tensor(writing, device=logits.device))
        yield from (self._chain(row) for row in live if not row.done)

    def _need_room(self, longest: Sequence[int]) -> None:
        room, shown = self.student.context, len(self.student.demonstrations)
        if room is not None and len(longest) >= room:
            raise NsadError(
                f"a prompt of {len(longest)} tokens does not fit into `{self.student.spec}`",
                f"its context has {room} tokens, and the answer needs some of them",
                f"show it fewer or shorter demonstrations than these {shown} (teacher.demonstrations for a teacher,"
                " evaluation.demonstrations for few-shot)"
                if shown
                else "leave that problem out, or use a model with a longer context",
            )

    def _through(self) -> Any:
        return self.adapters.use(self.name) if self.adapters is not None else contextlib.nullcontext()

    def _prefill(
        self, model: Any, live: list[_Row], prompts: dict[str, list[int]]
    ) -> tuple[Tensor, Any, dict[str, Tensor]]:
        """Run each problem's prompt once, then give every chain of it its own copy of the cache."""
        ids = list(dict.fromkeys(row.task.problem_id for row in live))
        width = max(len(prompts[problem]) for problem in ids)
        inputs = torch.full((len(ids), width), self.student.pad_id)
        mask = torch.zeros_like(inputs)
        for i, problem in enumerate(ids):
            inputs[i, width - len(prompts[problem]) :] = torch.tensor(prompts[problem])
            mask[i, width - len(prompts[problem]) :] = 1
        device = model.device
        inputs, mask = inputs.to(device), mask.to(device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        cache = DynamicCache()
        output = model(
            input_ids=inputs,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        pick = torch.tensor([ids.index(row.task.problem_id) for row in live], device=device)
        cache.batch_select_indices(pick)
        return output.logits[pick, -1], cache, {"mask": mask[pick], "position": positions[pick, -1:]}

    def _step(self, model: Any, live: list[_Row], cache: Any, state: dict[str, Tensor]) -> Tensor:
        """One token for every row; a finished row that is still in the batch repeats its EOS to no effect."""
        state["mask"] = torch.cat([state["mask"], state["mask"].new_ones(len(live), 1)], 1)
        state["position"] = state["position"] + 1
        inputs = torch.tensor([[row.tokens[-1]] for row in live], device=state["mask"].device)
        logits: Tensor = model(
            input_ids=inputs,
            attention_mask=state["mask"],
            position_ids=state["position"],
            past_key_values=cache,
            use_cache=True,
        ).logits
        return logits[:, -1]

    def _chain(self, row: _Row) -> Chain:
        ending = Ending.CUT if row.cut else Ending.TOKEN if row.done and not row.full else Ending.ROOM
        return chain_of(self.student, row.task.problem_id, row.index, row.tokens, row.logprobs, ending)


def _generator(seed: str, task: Task, index: int) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}:{task.problem_id}:{index}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _choose(logits: Tensor, live: list[_Row], sampling: Sampling) -> tuple[list[int], list[float]]:
    """A token for each row, and its log-probability under the untempered distribution; [B,V] logits."""
    logits = logits.float()
    if logits.device.type == "mps":  # has no float64
        logits = logits.cpu()
    if sampling.temperature == 0:
        chosen = logits.argmax(-1)
    else:
        probabilities = torch.softmax(logits / sampling.temperature, -1)
        if sampling.top_p < 1:
            probabilities = _nucleus(probabilities, sampling.top_p)
        draws = torch.cat([torch.rand(1, generator=row.random, dtype=torch.float64) for row in live])
        cumulative = probabilities.double().cumsum(-1)
        point = draws.to(logits.device)[:, None] * cumulative[:, -1:]
        chosen = torch.searchsorted(cumulative, point, right=True).squeeze(-1).clamp(max=logits.shape[-1] - 1)
    logprobs = logits.gather(-1, chosen[:, None]).squeeze(-1) - logits.logsumexp(-1)
    return chosen.tolist(), logprobs.tolist()


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Zero all but the smallest set of most likely tokens whose probabilities reach top_p (Holtzman et al. 2020)."""
    ordered, order = probabilities.sort(-1, descending=True)
    outside = ordered.cumsum(-1) - ordered >= top_p
    return probabilities.masked_fill(outside.scatter(-1, order, outside), 0.0)


def _shrink(cache: Any, state: dict[str, Tensor], keep: Tensor) -> None:
    cache.batch_select_indices(keep)
    state["mask"], state["position"] = state["mask"][keep], state["position"][keep]
