"""A chain's text by steps: every token in its place, whatever an engine or a damaged store says of places."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.types import Chain
from nsad_cli.voting.chain_steps import chain_steps


def test_lines_or_else_sentences() -> None:
    lines = Chain("p", 0, "One is 1.\n\nTwo is 2. Three.\n", None)
    assert [lines.text[step.start : step.end] for step in chain_steps(lines)] == ["One is 1.", "Two is 2. Three."]
    one = Chain("p", 0, "One is 1. Two is 2.", None)
    assert [one.text[step.start : step.end] for step in chain_steps(one)] == ["One is 1.", "Two is 2."]
    assert chain_steps(Chain("p", 0, "", None)) == [] == chain_steps(Chain("p", 0, " \n ", None))


def test_tokens_belong_to_the_step_in_which_they_end() -> None:
    chain = Chain("p", 0, "ab cd\nef", None, offsets=(2, 5, 6, 8, 8), logprobs=(-1.0, -2.0, -9.0, -0.5, -0.25))
    first, second = chain_steps(chain)
    assert [(token.start, token.end) for token in first.tokens] == [(0, 2), (2, 5)]
    assert first.probability == pytest.approx(math.exp(-1.5))
    assert first.tokens[0].probability == pytest.approx(math.exp(-1))
    assert [(token.start, token.end) for token in second.tokens] == [(6, 8), (8, 8)], "the last is the end's"
    assert second.probability == pytest.approx(math.exp(-0.375))
    bare = chain_steps(Chain("p", 0, "ab\ncd", None))
    assert [(step.probability, step.tokens) for step in bare] == [(None, ()), (None, ())]


@given(
    st.text("ab .\n", max_size=30),
    st.lists(st.integers(-5, 40), max_size=12),
    st.lists(st.floats(-5, 1), max_size=12),
)
def test_no_place_is_too_strange(text: str, offsets: list[int], logprobs: list[float]) -> None:
    steps = chain_steps(Chain("p", 0, text, None, offsets=tuple(offsets), logprobs=tuple(logprobs)))
    for step in steps:
        assert 0 <= step.start < step.end <= len(text)
        assert all(step.start < token.end <= step.end and 0 <= token.probability <= 1 for token in step.tokens)
