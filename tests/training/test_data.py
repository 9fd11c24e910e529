"""Plans and batches: every example as often as asked, nothing learned from prompts or padding."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.config.schema import NceConfig, RankerConfig, StageConfig
from nsad_cli.training.data import batch_plan, first_batches, held_out_problems, sample_items
from nsad_cli.training.step_plan import warmup_steps


@given(st.integers(1, 200), st.integers(1, 9), st.integers(1, 3), st.integers(0, 3))
def test_whole_epochs_see_every_example_equally_often(count: int, size: int, epochs: int, seed: int) -> None:
    plan = batch_plan(count, size, epochs, seed)
    assert set(Counter(itertools.chain(*plan)).values()) == {epochs}
    assert all(len(batch) == size for batch in plan[:-1])
    assert len(plan[-1]) <= size
    assert plan == batch_plan(count, size, epochs, seed)


@given(st.integers(1, 100), st.floats(0.01, 3))
def test_a_part_of_an_epoch_repeats_nothing_before_all_were_seen(count: int, epochs: float) -> None:
    counts = Counter(itertools.chain(*batch_plan(count, 4, epochs, 0)))
    seen = [counts[index] for index in range(count)]
    assert max(seen) - min(seen) <= 1


@given(st.integers(1, 80), st.integers(1, 20), st.integers(1, 6))
def test_no_batch_holds_an_example_twice(count: int, size: int, epochs: int) -> None:
    if count >= 2 * size:
        assert all(len(set(batch)) == len(batch) for batch in batch_plan(count, size, epochs, 0))


def test_examples_of_one_problem_follow_each_other_where_asked() -> None:
    keys = [index % 5 for index in range(20)]
    (batch,) = batch_plan(20, 20, 1, 0, keys)
    assert len(list(itertools.groupby(batch, key=lambda index: keys[index]))) == 5


def test_a_budget_of_tokens_ends_with_the_step_that_spends_it() -> None:
    plan = batch_plan(10, 2, 1, 0)
    assert first_batches(plan, [7] * 10, 29) == plan[:3]
    assert first_batches(plan, [7] * 10, 1000) == plan


def test_held_out_problems_stay_when_problems_join() -> None:
    few, many = [f"p{i}" for i in range(100)], [f"p{i}" for i in range(110)]
    held = held_out_problems(few, 0.1, 0)
    assert len(held) == 10
    assert len(held - held_out_problems(many, 0.1, 0)) <= 3
    assert held_out_problems(["only"], 0.5, 0) == frozenset()
    assert len(held_out_problems(["a", "b"], 0.01, 0)) == 1


def test_choose_is_seeded_and_keeps_order() -> None:
    items = list(range(100))
    assert sample_items(items, 10, 1) == sorted(sample_items(items, 10, 1)) == sample_items(items, 10, 1)
    assert sample_items(items, 10, 1) != sample_items(items, 10, 2)
    assert sample_items(items, None, 1) == items
    assert torch.tensor(sample_items(items, 200, 1)).numel() == 100


@pytest.mark.parametrize("settings", [StageConfig(), NceConfig(), RankerConfig()])
def test_an_unset_warm_up_is_a_tenth_of_the_steps_and_at_most_200(settings: StageConfig) -> None:
    found = {steps: warmup_steps(settings, steps) for steps in (0, 9, 10, 345, 2000, 100_000)}
    assert found == {0: 0, 9: 0, 10: 1, 345: 34, 2000: 200, 100_000: 200}
    assert warmup_steps(settings.model_copy(update={"warmup_steps": 1000}), 345) == 1000
    assert warmup_steps(settings.model_copy(update={"warmup_steps": 0}), 345) == 0


def test_a_share_of_nothing_holds_out_nothing() -> None:
    names = [str(number) for number in range(50)]
    assert held_out_problems(names, 0, 0) == frozenset()
    assert len(held_out_problems(names, 0.001, 0)) == 1
