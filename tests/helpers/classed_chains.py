"""Chains with weights and log-probabilities, classed by their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from nsad_cli.types import Chain

if TYPE_CHECKING:
    from collections.abc import Sequence


def chain(
    index: int, answer: str | None, weight: float | None = None, logprob: float | None = None, first: int | None = None
) -> Chain:
    """A chain whose class is named by `first`, the lowest index with its answer."""
    logprobs = () if logprob is None else (logprob,)
    return Chain(
        "p",
        index,
        f"text {index}",
        answer,
        logprobs=logprobs,
        weight=weight,
        answer_class=None if answer is None else (index if first is None else first),
    )


def made(items: Sequence[tuple[str | None, float, float]]) -> list[Chain]:
    """Chains from (answer, weight, logprob), classed by equal answers."""
    answers = [answer for answer, _, _ in items]
    return [chain(i, a, w, lp, None if a is None else answers.index(a)) for i, (a, w, lp) in enumerate(items)]


ITEMS = st.lists(
    st.tuples(st.sampled_from([None, "a", "b", "c"]), st.floats(0, 1), st.floats(-5, 0)), min_size=1, max_size=12
)
