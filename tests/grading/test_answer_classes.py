"""Answer classes: all members agree, whatever the order; ambiguous spellings join the larger side."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsad_cli.grading.answer_classes import AnswerClass, answer_classes, partition
from nsad_cli.grading.chains import grade_chains
from nsad_cli.grading.stored_classes import refresh_classes
from nsad_cli.store.chains import ChainStore
from nsad_cli.types import Chain, Problem

if TYPE_CHECKING:
    from pathlib import Path

    from nsad_cli.grading.checker import Checker

NAMES = "abcdefg"
EDGES = st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)))
COUNTS = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 5), min_size=1)


def neighbours(counts: dict[str, int], edges: set[tuple[str, str]]) -> dict[str, set[str]]:
    equal = {name: {name} for name in counts}
    for a, b in edges:
        if a in counts and b in counts:
            equal[a].add(b)
            equal[b].add(a)
    return equal


@given(COUNTS, EDGES)
def test_a_partition_in_which_all_members_of_a_class_agree(counts: dict[str, int], edges: set[tuple[str, str]]) -> None:
    equal = neighbours(counts, edges)
    found = partition(counts, equal)
    assert sorted(name for item in found for name in item.answers) == sorted(counts)
    assert all(item.answers <= equal[name] for item in found for name in item.answers)


@given(COUNTS, EDGES, st.integers(0, 99))
def test_the_order_has_no_effect(counts: dict[str, int], edges: set[tuple[str, str]], seed: int) -> None:
    names = list(counts)
    random.Random(seed).shuffle(names)
    shuffled = {name: counts[name] for name in names}
    equal = neighbours(counts, edges)
    assert set(partition(counts, equal)) == set(partition(shuffled, equal))


@given(COUNTS, EDGES)
def test_the_representative_is_a_most_frequent_unambiguous_spelling(
    counts: dict[str, int], edges: set[tuple[str, str]]
) -> None:
    equal = neighbours(counts, edges)
    ambiguous = {a for a in counts if any(not equal[a] <= equal[b] for b in equal[a])}
    for item in partition(counts, equal):
        clear = item.answers - ambiguous
        assert not clear or counts[item.representative] == max(counts[name] for name in clear)


@pytest.mark.parametrize(
    ("answers", "classes"),
    [
        (["40", "0.4", "40%"], [0, 1, 0]),
        (["0.4", "40%", "40", "0.4"], [0, 0, 2, 0]),
        (["40%", "40", "0.4", "40", None], [0, 0, 2, 0, None]),
        (["40%", r"\frac25", "0.4"], [0, 0, 0]),
    ],
)
def test_percent_joins_the_larger_side(checker: Checker, answers: list[str | None], classes: list[int | None]) -> None:
    assert answer_classes(answers, checker) == classes


def test_a_class_is_right_by_its_representative(checker: Checker) -> None:
    chains = [Chain("p", i, "", answer) for i, answer in enumerate(["40", "40", "40%", "0.4"])]
    assert [chain.correct for chain in grade_chains(chains, "0.4", checker)] == [False, False, False, True]


def test_an_unambiguous_class_keeps_all_spellings() -> None:
    assert partition({"a": 1, "b": 2}, {"a": {"a", "b"}, "b": {"a", "b"}}) == [AnswerClass("b", frozenset("ab"))]


def test_stored_classes_of_an_earlier_version_are_computed_again(tmp_path: Path) -> None:
    path, key = tmp_path / "chains.sqlite", {"model": "nat", "model_key": "k", "sampling": "s"}
    problem = Problem("p", "How much?", "0.4", "file")
    old = [Chain("p", i, "", answer, answer_class=0, correct=True) for i, answer in enumerate(["40", "0.4", "40%"])]
    with ChainStore(path) as store:
        store.put(problem, old, **key)
        store._db.execute("DELETE FROM class_version")
    assert refresh_classes(path) == 1
    with ChainStore(path, read_only=True) as store:
        assert [(c.answer_class, c.correct) for c in store.get("p", **key)] == [(0, False), (1, True), (0, False)]
    assert refresh_classes(path) == 0
