"""Greedy answers by vLLM from several small models, one after the other in one process, since each start costs much.

    python -m tests.helpers.vllm_greedy < JSON

In: a list of {"model" (a folder), "prompts" (token ids), "tokens", "devices"}. Out:
for each, {"answers": [{"tokens", "logprobs"}]} or {"error"}. vLLM is stock: all that it knows of NAT it has from the
plugin. For several devices no worker is started: a layer is made as a worker makes its first.
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

    options = {"dtype": "float32", "enforce_eager": True, "kv_cache_memory_bytes": 2**26, "max_model_len": 256}
    options |= {"distributed_executor_backend": "uni", "use_tqdm_on_load": False}
    try:
        if job["devices"] > 1:
            first_layer(job["model"], job["devices"])
        llm = LLM(job["model"], **options)
        params = SamplingParams(temperature=0, max_tokens=job["tokens"], ignore_eos=True, logprobs=0)
        prompts = [{"prompt_token_ids": prompt} for prompt in job["prompts"]]
        replies = llm.generate(prompts, params, use_tqdm=False)
    except Exception as error:
        return {"error": str(error)}
    found = [(list(reply.outputs[0].token_ids), reply.outputs[0].logprobs) for reply in replies]
    return {
        "answers": [
            {"tokens": ids, "logprobs": [chances[token].logprob for chances, token in zip(logprobs, ids, strict=True)]}
            for ids, logprobs in found
        ]
    }


def first_layer(model: str, devices: int) -> None:
    """Make a linear layer for a model that is spread over several devices."""
    from vllm.config import set_current_vllm_config
    from vllm.engine.arg_utils import EngineArgs
    from vllm.model_executor.layers.linear import ReplicatedLinear

    config = EngineArgs(model, tensor_parallel_size=devices, enforce_eager=True).create_engine_config()
    with set_current_vllm_config(config):
        ReplicatedLinear(8, 8, quant_config=config.quant_config)


if __name__ == "__main__":
    os.environ.update(ALONE)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # vLLM prints
    json.dump([answers(job) for job in json.load(sys.stdin)], out)
