"""The chain store: whole chains, kept once, weighed by several rankers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from nsad_cli.store.chains import ChainStore
from nsad_cli.types import Chain, Finish, Problem, Score

if TYPE_CHECKING:
    from pathlib import Path

PROBLEM = Problem("p", "What is 1 + 1?", "2", "test", subject="sums", level="1")
KEY = {"model": "nce", "model_key": "k", "sampling": "s"}
CHAINS = [
    Chain("p", 0, "so 2", "2", Finish.STOP, (2, 4, 4), (-0.5, -0.25, -1.0), 0, True),
    Chain("p", 1, "cut", None, Finish.LENGTH, (), (), None, False),
]


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    with ChainStore(tmp_path / "chains.sqlite") as store:
        store.put(PROBLEM, CHAINS, **KEY)
        assert store.get("p", **KEY) == CHAINS
        assert store.get("p", **{**KEY, "sampling": "other"}) == []
        assert store.sets() == [("nce", "k", "s", 1, 2)]
        (problem,) = store.problems(**KEY)
        assert dataclasses.replace(problem, split="") == PROBLEM


def test_a_verdict_goes_with_its_answer(tmp_path: Path) -> None:
    with ChainStore(tmp_path / "chains.sqlite") as store:
        store.put(PROBLEM, CHAINS, **KEY)
        store.put(PROBLEM, [dataclasses.replace(CHAINS[0], answer=None, correct=None)], **KEY)
        assert [chain.correct for chain in store.get("p", **KEY)] == [None, False]


def test_weights_belong_to_their_ranker(tmp_path: Path) -> None:
    with ChainStore(tmp_path / "chains.sqlite") as store:
        store.put(PROBLEM, CHAINS, **KEY)
        store.put_scores("p", {0: Score(0.9), 1: None}, ranker="first", **KEY)
        store.put_scores("p", {0: Score(0.1), 1: Score(0.2)}, ranker="second", **KEY)
        assert [chain.weight for chain in store.get("p", ranker="first", **KEY)] == [0.9, None]
        assert [chain.weight for chain in store.get("p", ranker="second", **KEY)] == [0.1, 0.2]
        assert [chain.weight for chain in store.get("p", **KEY)] == [None, None]
        store.put(PROBLEM, [dataclasses.replace(CHAINS[0], text="again")], **KEY)
        again = store.get("p", ranker="first", **KEY)
        assert again[0].text == "again"
        assert again[0].weight is None, "the score was another text's"
        store.put_scores("p", {0: Score(0.3)}, ranker="first", **KEY)
        store.put(PROBLEM, [dataclasses.replace(CHAINS[0], text="again")], **KEY)
        assert [chain.weight for chain in store.get("p", ranker="first", **KEY)] == [0.3, None]
        assert set(store.rankers()) == {"first", "second"}


def test_solving_without_a_gold_answer_forgets_none(tmp_path: Path) -> None:
    asked = Problem("p", PROBLEM.question, "", "asked")
    with ChainStore(tmp_path / "chains.sqlite") as store:
        store.put(asked, [dataclasses.replace(CHAINS[0], correct=None)], **KEY)
        assert store.get("p", **KEY)[0].correct is None
        store.put(PROBLEM, CHAINS, **KEY)
        store.put(asked, [dataclasses.replace(chain, correct=None) for chain in CHAINS], **KEY)
        assert [chain.correct for chain in store.get("p", **KEY)] == [True, False]
        (problem,) = store.problems(**KEY)
        assert dataclasses.replace(problem, split="") == PROBLEM
