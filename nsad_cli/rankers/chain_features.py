"""Numbers that describe a chain without a model: its log-probabilities and its step checks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nsad_cli.grading.step_checks import check_steps

if TYPE_CHECKING:
    from nsad_cli.types import Chain

NAMES = ("mean_logprob", "sum_logprob", "lowest_logprob", "right_steps", "wrong_steps", "checked_steps")
"""The features in order: three of log-probabilities (nats); the share of checked steps that hold, the logarithms of 1 +
the number of wrong ones and of 1 + the number of checked ones."""


def chain_features(chain: Chain) -> tuple[float, ...]:
    """Compute the features of a chain.

    Args:
        chain: The chain.

    Returns:
        One number for each of NAMES; NaN for what is not known (no log-probabilities, no checked step).
    """
    logprobs = chain.logprobs
    likelihood = (sum(logprobs) / len(logprobs), sum(logprobs), min(logprobs)) if logprobs else (math.nan,) * 3
    checks = check_steps(chain.text)
    share = math.nan if checks.share is None else checks.share
    return (*likelihood, share, math.log1p(checks.checked - checks.right), math.log1p(checks.checked))
