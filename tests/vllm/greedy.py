"""Greedy answers by vLLM from several small models, one after the other in one process, since each start costs much.

    python -m tests.vllm.greedy < JSON

In: a list of {"model" (a folder), "lora" (a PEFT folder or null), "prompts" (token ids), "tokens", "more" (further
arguments of vllm.LLM)}. Out: for each, {"answers": [{"tokens", "logprobs"}]} or {"error"}. vLLM is stock: all that it
knows of NAT it has from the plugin.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

ALONE = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
"""All in this process, by one thread: that is enough for small models."""


def answers(job: dict[str, Any]) -> dict[str, Any]:
    """What vLLM says, or why it does not start."""
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    options = {"dtype": "float32", "enforce_eager": True, "kv_cache_memory_bytes": 2**26, "max_model_len": 256}
    options |= {
        "distributed_executor_backend": "uni",
        "enable_lora": job["lora"] is not None,
        "use_tqdm_on_load": False,
    }
    try:
        llm = LLM(job["model"], **options, **job["more"])
        params = SamplingParams(temperature=0, max_tokens=job["tokens"], ignore_eos=True, logprobs=0)
        lora = LoRARequest("lora", 1, job["lora"]) if job["lora"] else None
        prompts = [{"prompt_token_ids": prompt} for prompt in job["prompts"]]
        replies = llm.generate(prompts, params, use_tqdm=False, lora_request=lora)
    except Exception as error:
        return {"error": str(error)}
    found = [(list(reply.outputs[0].token_ids), reply.outputs[0].logprobs) for reply in replies]
    return {
        "answers": [
            {"tokens": ids, "logprobs": [chances[token].logprob for chances, token in zip(logprobs, ids, strict=True)]}
            for ids, logprobs in found
        ]
    }


if __name__ == "__main__":
    os.environ.update(ALONE)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # vLLM prints
    json.dump([answers(job) for job in json.load(sys.stdin)], out)
