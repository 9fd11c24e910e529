"""Log-probabilities of sampled tokens in vLLM, without the ranks that it computes for them.

For `logprobs=0` vLLM 0.32 also counts the more likely tokens of each sampled one, and selects its most likely 0: two
passes over all logits, which take longer than the log-softmax itself on a CPU. Nothing here reads ranks. Applies to the
processes of our own engine alone, which set an environment variable.
"""

from __future__ import annotations

import os
from typing import Any

SAMPLED_ONLY = "NSAD_VLLM_SAMPLED_LOGPROBS"
"""The environment variable that the vLLM subprocess sets for itself and the processes that it starts."""


def skip_ranks() -> None:
    """Replace vLLM's gathering of log-probabilities in this process, if the variable is set; all ranks become 1.

    An unknown version of vLLM is left as it is.
    """
    if os.environ.get(SAMPLED_ONLY) != "1":
        return
    try:
        from vllm.v1.outputs import LogprobsTensors
        from vllm.v1.sample.sampler import Sampler

        plain = Sampler.gather_logprobs
    except (ImportError, AttributeError):
        return

    def gather(logprobs: Any, num_logprobs: int, token_ids: Any) -> Any:
        if num_logprobs:
            return plain(logprobs, num_logprobs, token_ids)
        tokens = token_ids.unsqueeze(-1)
        return LogprobsTensors(tokens.int(), logprobs.gather(-1, tokens), token_ids.new_ones(len(token_ids)))

    Sampler.gather_logprobs = staticmethod(gather)
