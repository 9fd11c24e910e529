"""Plans and batches: every example as often as asked, nothing learned from prompts or padding."""

from __future__ import annotations

from collections import Counter

import torch
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.training.data import NO_TARGET, Example, batch_plan, choose, collate, held_out_problems


@given(st.lists(st.integers(1, 50), min_size=1, max_size=200), st.integers(1, 9), st.integers(1, 3), st.integers(0, 3))
def test_whole_epochs_see_every_example_equally_often(lengths: list[int], size: int, epochs: int, seed: int) -> None:
    plan = batch_plan(lengths, size, epochs, seed)
    assert set(Counter(plan).values()) == {epochs}
    assert len(plan) == len(lengths) * epochs
    assert plan == batch_plan(lengths, size, epochs, seed)


@given(st.integers(1, 100), st.floats(0.01, 3))
def test_a_part_of_an_epoch_repeats_nothing_before_all_were_seen(count: int, epochs: float) -> None:
    counts = Counter(batch_plan([1] * count, 4, epochs, 0))
    seen = [counts[index] for index in range(count)]
    assert max(seen) - min(seen) <= 1


@given(st.integers(1, 80), st.integers(1, 20), st.integers(1, 6))
def test_no_batch_holds_an_example_twice(count: int, size: int, epochs: int) -> None:
    plan = batch_plan([index % 7 for index in range(count)], size, epochs, 0)
    batches = [plan[start : start + size] for start in range(0, len(plan), size)]
    if count >= 2 * size:
        assert all(len(set(batch)) == len(batch) for batch in batches)


def test_batches_hold_examples_of_like_length() -> None:
    lengths = [index % 97 for index in range(1000)]
    plan = batch_plan(lengths, 8, 1, 0)
    padded = sum(8 * max(lengths[i] for i in plan[start : start + 8]) for start in range(0, 1000, 8))
    assert padded < 1.15 * sum(lengths)


def test_a_batch_predicts_completions_alone() -> None:
    batch = collate([Example((1, 2, 3), (4, 5)), Example((6,), (7, 8, 9))], pad=0)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 0], [0, 0, 6, 7, 8]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 0], [0, 0, 1, 1, 1]]
    assert batch["position_ids"][1].tolist() == [0, 0, 0, 1, 2]
    assert batch["targets"].tolist() == [[4, 5, NO_TARGET], [7, 8, 9]]


def test_held_out_problems_stay_when_problems_join() -> None:
    few, many = [f"p{i}" for i in range(100)], [f"p{i}" for i in range(110)]
    held = held_out_problems(few, 0.1, 0)
    assert len(held) == 10
    assert len(held - held_out_problems(many, 0.1, 0)) <= 3
    assert held_out_problems(["only"], 0.5, 0) == frozenset()
    assert len(held_out_problems(["a", "b"], 0.01, 0)) == 1


def test_choose_is_seeded_and_keeps_order() -> None:
    items = list(range(100))
    assert choose(items, 10, 1) == sorted(choose(items, 10, 1)) == choose(items, 10, 1)
    assert choose(items, 10, 1) != choose(items, 10, 2)
    assert choose(items, None, 1) == items
    assert torch.tensor(choose(items, 200, 1)).numel() == 100
